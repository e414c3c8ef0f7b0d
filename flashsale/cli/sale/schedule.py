"""The times of a sale as options name them, and as they are told back."""

from dataclasses import dataclass
from datetime import datetime, tzinfo

from flashsale.cli.sale.times import in_words, moment_or_fail, zone_or_fail


@dataclass(frozen=True)
class GivenTime:
    """A time as it was given, and the moment that it names."""

    text: str
    moment: datetime


@dataclass(frozen=True)
class Schedule:
    """When a sale opens and closes, as far as it was given."""

    opens: GivenTime | None
    closes: GivenTime | None
    zone: tzinfo | None

    @property
    def opens_at(self) -> float | None:
        """The opening in Unix seconds."""
        return None if self.opens is None else self.opens.moment.timestamp()

    @property
    def closes_at(self) -> float | None:
        """The closing in Unix seconds."""
        return None if self.closes is None else self.closes.moment.timestamp()

    def tell(self) -> None:
        """Print each time in UTC, as it was given, and how far away it is."""
        for verb, time in (("opens", self.opens), ("closes", self.closes)):
            if time is not None:
                print(f"{verb} {in_words(time.moment, time.text, self.zone)}")


def schedule_or_fail(opens_at: str | None, closes_at: str | None, timezone: str | None) -> Schedule:
    """Return the schedule that the options name, or end the process with one line."""
    zone = zone_or_fail(timezone)
    return Schedule(
        _given("--opens-at", opens_at, zone), _given("--closes-at", closes_at, zone), zone
    )


def _given(option: str, text: str | None, zone: tzinfo | None) -> GivenTime | None:
    moment = moment_or_fail(option, text, zone)
    return None if text is None or moment is None else GivenTime(text, moment)
