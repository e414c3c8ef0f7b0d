"""Fast metrics give Prometheus the same series as its own metrics."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from flashsale.observability.fast_metrics import FastCounter, FastHistogram

BUCKETS = (0.001, 0.5, 2.0)


@given(st.lists(st.floats(0, 10) | st.sampled_from(BUCKETS)))
def test_a_fast_histogram_equals_prometheus_own_histogram(seconds: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = FastHistogram("seconds", "How long", BUCKETS, ours)
    yours = Histogram("seconds", "How long", buckets=BUCKETS, registry=theirs)
    for each in seconds:
        mine.observe(each)
        yours.observe(each)
    assert generate_latest(ours).splitlines() == [
        line for line in generate_latest(theirs).splitlines() if b"_created" not in line
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(200, 202))))
def test_a_fast_counter_equals_prometheus_own_counter(counted: list[tuple[str, int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = FastCounter("answers", "What was said", ["to", "status"], ours)
    yours = Counter("answers", "What was said", ["to", "status"], registry=theirs)
    for values in counted:
        mine.add(*values)
        yours.labels(*values).inc()
    assert generate_latest(ours).splitlines() == [
        line for line in generate_latest(theirs).splitlines() if b"_created" not in line
    ]
    assert sum(mine.counts().values()) == len(counted)
