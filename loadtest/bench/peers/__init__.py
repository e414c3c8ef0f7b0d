"""`make bench-peers`: our gateway and consumer beside what people would use instead."""
