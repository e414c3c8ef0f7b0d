"""`make bench-peers`: compare our gateway and consumer with common alternatives."""
