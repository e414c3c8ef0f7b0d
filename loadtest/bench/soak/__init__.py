"""`make soak`: a spike every minute for long, and afterwards everything is as it was."""
