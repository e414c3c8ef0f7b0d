"""The controls of a drain: what an operator may change during a sale, and until when it holds."""

from dataclasses import dataclass, replace

from flashsale.domain.operators.refusals import ChangeRefused, require_text

MAX_RATE = 1_000_000
"""The highest rate of a drain, in orders/s."""
MAX_SECONDS = 366 * 86_400.0
"""The longest duration of a change, in seconds."""


@dataclass(frozen=True)
class Controls:
    """What operators have set for a drain and for its intake.

    Each change makes the next `version`. A change with an end, in Unix seconds, holds until then;
    the change after it replaces the end, too.
    """

    version: int = 0
    paused: bool = False
    paused_until: float | None = None
    rate: int | None = None
    """In orders/s. None: the rate of the environment."""
    rate_until: float | None = None
    drain_reason: str | None = None
    intake_paused: bool = False
    notice: str | None = None
    """What shoppers are told while the intake is paused."""
    intake_reason: str | None = None

    def at(self, now: float) -> "Controls":
        """Return the controls without the changes that ended by `now`; the version stays."""
        controls = self
        if controls.paused_until is not None and controls.paused_until <= now:
            controls = replace(controls, paused=False, paused_until=None)
        if controls.rate_until is not None and controls.rate_until <= now:
            controls = replace(controls, rate=None, rate_until=None)
        return controls

    @property
    def for_drain(self) -> tuple[bool, int | None]:
        """What the drain follows: whether it is paused, and its rate."""
        return self.paused, self.rate

    @property
    def next_end(self) -> float | None:
        """When the next change ends, in Unix seconds; None if none does."""
        ends = (self.paused_until, self.rate_until)
        return min((end for end in ends if end is not None), default=None)


@dataclass(frozen=True)
class DrainChange:
    """A change of the drain. None leaves a field as it is."""

    paused: bool | None = None
    rate: int | None = None
    own_rate: bool = False
    """Whether to go back to the rate of the environment."""
    for_seconds: float | None = None
    until: float | None = None
    """When the change ends, in Unix seconds; instead of `for_seconds`."""
    reason: str | None = None

    def apply(self, controls: Controls, now: float, smallest_rate: int = 1) -> Controls:
        """Return the changed controls. A change that ended by `now` is gone.

        `smallest_rate` is the batch that the environment asks for. Raises `ChangeRefused`.
        """
        controls = controls.at(now)
        sets_rate = self.rate is not None or self.own_rate
        if self.paused is None and not sets_rate:
            raise ChangeRefused("", "nothing to change: give paused or rate")
        if self.rate is not None:
            _require_rate(self.rate, smallest_rate)
        require_text("reason", self.reason)
        end = self._end(now)
        if self.paused is not None:
            controls = replace(
                controls, paused=self.paused, paused_until=end if self.paused else None
            )
        if sets_rate:
            controls = replace(
                controls, rate=self.rate, rate_until=None if self.rate is None else end
            )
        return replace(controls, drain_reason=self.reason)

    def _end(self, now: float) -> float | None:
        if self.for_seconds is None and self.until is None:
            return None
        if self.for_seconds is not None and self.until is not None:
            raise ChangeRefused("for_seconds", "give either a duration or a time")
        if not self.paused and self.rate is None:
            raise ChangeRefused(
                "for_seconds" if self.until is None else "until",
                "only a pause or a rate has an end",
            )
        if self.until is not None:
            if not now < self.until <= now + MAX_SECONDS:
                raise ChangeRefused("until", "must be in the future, at most a year from now")
            return self.until
        assert self.for_seconds is not None  # noqa: S101 one of the two is given
        if not 0 < self.for_seconds <= MAX_SECONDS:
            raise ChangeRefused("for_seconds", "must be more than 0 and at most a year")
        return now + self.for_seconds


@dataclass(frozen=True)
class IntakeChange:
    """A change of the intake. The notice and the reason belong to it."""

    paused: bool | None = None
    notice: str | None = None
    reason: str | None = None

    def apply(self, controls: Controls, now: float) -> Controls:
        """Return the changed controls. Raises `ChangeRefused`."""
        controls = controls.at(now)
        paused = controls.intake_paused if self.paused is None else self.paused
        if self.paused is None and self.notice is None:
            raise ChangeRefused("", "nothing to change: give paused or notice")
        if self.notice is not None and not paused:
            raise ChangeRefused("notice", "shoppers read it while the intake is paused only")
        require_text("notice", self.notice)
        require_text("reason", self.reason)
        notice = self.notice if self.notice is not None or self.paused else controls.notice
        return replace(
            controls,
            intake_paused=paused,
            notice=notice if paused else None,
            intake_reason=self.reason,
        )


def _require_rate(rate: int, smallest: int) -> None:
    if not 1 <= rate <= MAX_RATE:
        raise ChangeRefused("rate", f"must be 1 to {MAX_RATE} orders a second")
    if rate < smallest:
        raise ChangeRefused(
            "rate", f"must be at least {smallest}, the batch that FLASHSALE_DRAIN_BATCH sets"
        )
