"""`make bench-brokers`: measure many kinds of queues by the same spike."""
