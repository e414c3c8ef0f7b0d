"""Moments as people write them: RFC 3339, or a local time with the zone that it is local to."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import overload

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(?P<second>\d{2})"
    r"(?:\.(?P<fraction>\d+))?(?P<offset>[Zz]|[+-]\d{2}:[0-5]\d)?",
    re.ASCII,
)
_LEAP_SECOND = 60


def parse_moment(text: str, zone: tzinfo | None = None) -> datetime:
    """Return the moment that an RFC 3339 date-time names, in UTC.

    A time without an offset is local to `zone`. Raises `ValueError`, with the reason in words, for
    what is not a date-time, for a time without an offset if there is no zone, and for a local time
    that does not exist in the zone or exists twice there, as clocks are changed.
    """
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time such as 2026-11-27T09:00:00+01:00 (RFC 3339)")
    second = int(match["second"])
    try:
        # Not `fromisoformat`, which takes hour 24 from Python 3.14 on.
        year, month, day, hour, minute = map(int, match.group(1, 2, 3, 4, 5))
        moment = datetime(year, month, day, hour, minute, min(second, _LEAP_SECOND - 1))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    if second > _LEAP_SECOND:
        raise ValueError(f"{text!r}: a minute has no second {second}")
    # Digits beyond microseconds are below what any clock here tells.
    parts = timedelta(
        seconds=second == _LEAP_SECOND,
        microseconds=int((match["fraction"] or "")[:6].ljust(6, "0")),
    )
    try:
        if match["offset"] is not None:
            # RFC 3339, 4.3: -00:00 is UTC whose local offset is not known.
            return _utc((moment + parts).replace(tzinfo=_offset(match["offset"])))
        if zone is not None:
            return _local(moment + parts, zone)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} {error}") from error
    raise ValueError(
        f"{text!r} has no offset: add Z for UTC, or one such as +01:00, or name its time zone, such"
        " as Europe/Berlin"
    )


@overload
def moment_at(seconds: float) -> datetime: ...


@overload
def moment_at(seconds: float | None) -> datetime | None: ...


def moment_at(seconds: float | None) -> datetime | None:
    """Return the moment of a Unix time, in UTC; None if there is none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def write_moment(moment: datetime, zone: tzinfo = UTC) -> str:
    """Return the moment as an RFC 3339 date-time of that zone, in UTC with a Z.

    A moment for which the zone has no year from 1 to 9999 is in UTC, and so is one at which its
    offset was no whole number of minutes, as before 1972 in Monrovia: RFC 3339 can't write that.
    """
    try:
        local = moment.astimezone(zone)
    except OverflowError:
        local = _utc(moment)
    if (local.utcoffset() or timedelta()) % timedelta(minutes=1):
        local = _utc(moment)
    text = local.isoformat()
    return text.replace("+00:00", "Z") if local.tzinfo is UTC else text


def describe_wait(seconds: float) -> str:
    """Return how far away a moment is, in words: `in 2 days 3 h`, `5 min 12 s ago`, `now`."""
    left = round(abs(seconds))
    parts = []
    for name, size in ((" days", 86_400), (" h", 3_600), (" min", 60), (" s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(
                f"{count}{name.removesuffix('s') if count == 1 and size == 86_400 else name}"
            )
    if not parts:
        return "now"
    words = " ".join(parts[:2])
    return f"in {words}" if seconds > 0 else f"{words} ago"


def _offset(text: str) -> tzinfo:
    parsed = datetime.fromisoformat(f"2000-01-01T00:00:00{text.upper()}").tzinfo
    assert parsed is not None  # noqa: S101 the pattern demands one
    return parsed


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _local(moment: datetime, zone: tzinfo) -> datetime:
    earlier = _utc(moment.replace(tzinfo=zone, fold=0))
    later = _utc(moment.replace(tzinfo=zone, fold=1))
    # Where clocks are put forward, a local time in the gap comes back as another one.
    if earlier.astimezone(zone).replace(tzinfo=None) != moment:
        raise ValueError(f"does not exist in {zone}: the clocks are put forward over it")
    if earlier != later:
        first, second = (m.astimezone(zone).isoformat() for m in (earlier, later))
        raise ValueError(
            f"exists twice in {zone}, as the clocks are put back: give {first} or {second}"
        )
    return earlier
