from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.windows import most_in_window
from loadtest.receiver.timeline import Timeline


def counted(moments: list[float], start: float = 0.0) -> Timeline:
    timeline = Timeline(start)
    for moment in moments:
        timeline.add(moment)
    return timeline


@given(st.lists(st.integers(0, 5_000), min_size=1).map(sorted))
def test_a_timeline_finds_the_most_events_in_any_second(milliseconds: list[int]) -> None:
    moments = [each / 1_000 for each in milliseconds]
    timeline = counted(moments)
    assert timeline.most == most_in_window([(moment, 1) for moment in moments], 1.0)
    assert sum(timeline.tenths) == sum(timeline.per_second()) == timeline.total == len(moments)


def test_a_timeline_counts_a_burst_over_the_border_of_two_seconds() -> None:
    timeline = counted([100.9, 100.95, 101.05, 101.15, 102.05], start=100.0)
    assert timeline.per_second() == [2, 2, 1]
    assert timeline.most == 4
    assert timeline.tenths[9:12] == [2, 1, 1]
