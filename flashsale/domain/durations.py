"""Durations as people write them: `90s`, `10m`, `2h`, `1h30m`."""

import re

_PARTS = re.compile(r"(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that a duration names; a bare number is seconds. Raises `ValueError`."""
    match = _PARTS.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds
