"""Declare queues, change them while they are used, and replace them."""
