"""What the order service tells of itself."""

import msgspec


class Stats(msgspec.Struct):
    """What the service has seen since `started_at`, in seconds of the monotonic clock.

    The lists are counts of orders in each second since then, and in each tenth of a second. An
    order of a batch counts as one of its own. An answer by which an order is decided is an answer;
    every other one is a failure.
    """

    started_at: float
    arrivals: list[int]
    answered: list[int]
    failed: list[int]
    arrivals_by_tenth: list[int]
    arrivals_max_1s: int
    answered_max_1s: int
    requests: int
    waiting: int
    stock: int | None
    sold: int
    orders: int
    sold_out: int
    repeated: int
    doubled: int
    oversold: int
