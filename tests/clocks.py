"""Processes whose clock is wrong, by Debian's libfaketime."""

from pathlib import Path


def clock_ahead(seconds: float) -> dict[str, str]:
    """The environment of a program whose wall clock is so much ahead, or behind if below 0."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    assert library is not None, "install faketime"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
