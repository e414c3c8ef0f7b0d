"""Private servers of the queues that only this benchmark and its tests use."""
