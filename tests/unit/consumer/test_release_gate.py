"""The measurement of the rate, held against counting by hand."""

from hypothesis import given
from hypothesis import strategies as st

from consumer.release_gate import ReleaseLog


@given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 50)), min_size=1, max_size=60))
def test_release_log_finds_the_fullest_second(gaps: list[tuple[float, int]]) -> None:
    log, at, releases = ReleaseLog(), 0.0, []
    for gap, count in gaps:
        at += gap
        releases.append((at, count))
        log.add(at, count)
    by_hand = max(sum(n for t, n in releases if end - 1 < t <= end) for end, _ in releases)
    assert log.max_in_one_second == by_hand
    assert log.total == sum(count for _, count in releases)
