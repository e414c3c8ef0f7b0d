"""Times of a sale on the command line: as they are given, and as they are told."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flashsale.domain.moments import describe_wait, moment_at, parse_moment, write_moment
from flashsale.runtime.process import fail


def zone_or_fail(name: str | None) -> tzinfo | None:
    """Return the zone of `--timezone`, or end the process with one line."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    # A name may also be a folder or another file of the database of zones.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(f"--timezone {name}: there is no such time zone; one is Europe/Berlin")


def moment_or_fail(option: str, text: str | None, zone: tzinfo | None) -> datetime | None:
    """Return the moment that an option names, or end the process with one line."""
    if text is None:
        return None
    try:
        return parse_moment(text, zone)
    except ValueError as error:
        fail(f"{option} {error}")


def in_words(moment: datetime, text: str, zone: tzinfo | None) -> str:
    """Return a moment in UTC, as it was given, and how far away it is."""
    written = write_moment(moment)
    local = text if zone is None else f"{write_moment(moment, zone)} {zone}"
    wait = describe_wait((moment - datetime.now(UTC)).total_seconds())
    return f"{written}, {wait}" if local == written else f"{written} ({local}), {wait}"


def written(seconds: float, zone: tzinfo = UTC) -> str:
    """Return Unix seconds as an RFC 3339 date-time of that zone."""
    return write_moment(moment_at(seconds), zone)
