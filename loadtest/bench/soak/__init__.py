"""`make soak`: run a spike every minute, and check that no resource grows."""
