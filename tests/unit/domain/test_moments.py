"""Moments: every RFC 3339 date-time is understood, and a time that is none is refused in words."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.moments import describe_wait, parse_moment, write_moment

BERLIN = ZoneInfo("Europe/Berlin")
TOKYO = ZoneInfo("Asia/Tokyo")

nine = datetime(2026, 11, 27, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-27T09:00:00Z", nine),
        ("2026-11-27t09:00:00z", nine),
        ("2026-11-27 09:00:00Z", nine),
        ("2026-11-27T09:00:00+00:00", nine),
        ("2026-11-27T09:00:00-00:00", nine),
        ("2026-11-27T18:00:00+09:00", nine),
        ("2026-11-27T03:30:00-05:30", nine),
        ("2026-11-27T09:00:00.25Z", nine + timedelta(milliseconds=250)),
        ("2026-11-27T09:00:00.123456789Z", nine + timedelta(microseconds=123456)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_an_offset_of_a_moment_counts(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment
    assert parse_moment(text, TOKYO) == moment, "a zone must not outweigh an offset"
    assert parse_moment(text).tzinfo is UTC


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_every_date_time_is_read_as_it_was_written(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_moment(moment.isoformat()) == moment


def test_a_moment_without_an_offset_is_local_to_the_zone() -> None:
    assert parse_moment("2026-11-27T09:00:00", BERLIN) == nine - timedelta(hours=1)
    assert parse_moment("2026-07-27T09:00:00", BERLIN) == datetime(2026, 7, 27, 7, tzinfo=UTC)
    assert parse_moment("2026-11-27T09:00:00", UTC) == nine


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-27T09:00:00", "no offset"),
        ("2026-11-27", "not a time"),
        ("2026-11-27T09:00Z", "not a time"),
        ("20261127T090000Z", "not a time"),
        ("2026-W48-5T09:00:00Z", "not a time"),
        ("2026-11-27T09:00:00+0900", "not a time"),
        ("2026-11-27T09:00:00 Europe/Berlin", "not a time"),
        ("tomorrow", "not a time"),
        ("", "not a time"),
        ("٢٠٢٦-11-27T09:00:00Z", "not a time"),
        ("2026-13-01T09:00:00Z", "month"),
        ("2026-02-29T09:00:00Z", "day"),
        ("2026-11-27T24:00:00Z", "hour"),
        ("2026-11-27T09:00:61Z", "second 61"),
        ("2026-11-27T09:00:00+24:00", "offset"),
        ("2026-11-27T09:00:00+12:60", "not a time"),
        ("2026-11-27T09:00:00-01:99", "not a time"),
        ("0001-01-01T00:00:00+23:00", "out of range"),
        ("9999-12-31T23:59:60Z", "out of range"),
    ],
)
def test_what_is_no_moment_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_moment(text)


def test_a_local_time_outside_of_all_years_is_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse_moment("0001-01-01T00:00:00", TOKYO)


def test_a_moment_is_written_in_utc_and_in_a_zone() -> None:
    assert write_moment(nine) == "2026-11-27T09:00:00Z"
    assert write_moment(nine, BERLIN) == "2026-11-27T10:00:00+01:00"
    assert write_moment(nine + timedelta(milliseconds=250)) == "2026-11-27T09:00:00.250000Z"
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)
    assert write_moment(last, TOKYO) == "9999-12-31T23:00:00Z"


@given(st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_what_is_written_is_read_as_the_same_moment(moment: datetime) -> None:
    assert parse_moment(write_moment(moment)) == moment
    assert parse_moment(write_moment(moment, BERLIN)) == moment


def test_a_local_time_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="does not exist in Europe/Berlin"):
        parse_moment("2026-03-29T02:30:00", BERLIN)
    assert parse_moment("2026-03-29T02:30:00+02:00", BERLIN)


def test_a_local_time_that_exists_twice_is_refused_with_both() -> None:
    with pytest.raises(ValueError, match="twice in Europe/Berlin") as raised:
        parse_moment("2026-10-25T02:30:00", BERLIN)
    first, second = "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"
    assert first in str(raised.value)
    assert second in str(raised.value)
    assert parse_moment(second) - parse_moment(first) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "now"),
        (1, "in 1 s"),
        (-75, "1 min 15 s ago"),
        (3_600, "in 1 h"),
        (86_400 + 2 * 3_600 + 61, "in 1 day 2 h"),
        (-3 * 86_400, "3 days ago"),
    ],
)
def test_a_wait_is_told_by_its_two_largest_units(seconds: float, words: str) -> None:
    assert describe_wait(seconds) == words


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "Asia/Tokyo"),
        (datetime(1970, 1, 1, tzinfo=UTC), "Africa/Monrovia"),
    ],
)
def test_what_is_written_can_be_read_also_with_an_offset_of_seconds(
    moment: datetime, name: str
) -> None:
    written = write_moment(moment, ZoneInfo(name))
    assert written.endswith("Z")
    assert parse_moment(written) == moment
