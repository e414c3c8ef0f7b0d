from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.windows import counts_per_window, fewest_in_window, most_in_window, per_second

EVEN = [(step / 32, 100) for step in range(200)]


def test_an_even_rate_has_the_same_most_and_fewest_orders_in_a_window() -> None:
    assert most_in_window(EVEN, 1) == fewest_in_window(EVEN, 1) == 3200


def test_most_counts_a_burst_across_two_seconds() -> None:
    batches = [(0.0, 1), (0.9, 1000), (1.1, 1000), (3.0, 1)]
    assert most_in_window(batches, 1) == 2000


def test_fewest_counts_a_pause_across_two_seconds() -> None:
    batches = [(0.0, 10), (0.4, 10), (1.6, 10), (2.0, 10)]
    assert fewest_in_window(batches, 1) == 0


def test_fewest_counts_no_window_past_the_last_batch() -> None:
    assert fewest_in_window([(0.0, 10), (0.5, 10)], 1) == 20


def test_the_first_batch_starts_the_clock_of_a_rate() -> None:
    assert per_second([(5.0, 999), (6.0, 100), (7.0, 100)]) == 100


def test_counts_per_window_have_each_order_once() -> None:
    assert counts_per_window([(1.0, 1), (1.05, 2), (1.25, 3)], 0.1) == [3, 0, 3]


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 9)), min_size=1).map(sorted),
    st.floats(0.1, 10),
)
def test_no_window_at_any_batch_is_over_the_most(
    batches: list[tuple[float, int]], seconds: float
) -> None:
    def within(end: float) -> int:
        return sum(count for moment, count in batches if end - seconds < moment <= end)

    assert most_in_window(batches, seconds) == max(within(moment) for moment, _ in batches)
