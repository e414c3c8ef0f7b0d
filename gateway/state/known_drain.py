"""What the drain may do and what it does, as it announced last."""

from gateway.state.clock_skew import ClockSkew


class KnownDrain:
    """The drain's limit and speed, in orders a second.

    Until the drain has announced a batch, it is trusted to be as fast as the setting allows.
    """

    def __init__(self, drain_rate: int) -> None:
        self.drain_rate = drain_rate
        """The limit in force."""
        self.drained_per_second: float = drain_rate
        """The measurement; while the drain is not behind, it is the limit."""
        self.clock_skew = ClockSkew()
