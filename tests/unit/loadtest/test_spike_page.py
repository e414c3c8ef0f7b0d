"""The page of a spike: one self-contained file with the verdict first."""

from flashsale.audit.history import OrderAttempt
from flashsale.ledger import Books
from loadtest.bench.spike.page import page
from loadtest.demo.report import Evidence, judge
from loadtest.demo.sale import Outcome
from loadtest.demo.watch import Sample, Watch
from loadtest.measure.cores import Cores


def an_outcome(drained_max: int) -> Outcome:
    history = [
        OrderAttempt(
            at=1000 + n / 100,
            seconds=0.001 * n,
            sku="tv",
            customer="c",
            key="k",
            body="",
            status=202 if n % 2 else 503,
            order_id=f"{n:032x}",
            problem="queue-full" * (1 - n % 2),
        )
        for n in range(300)
    ]
    evidence = Evidence(history, {}, Books(0, 0, 0, 0, {}), 5, 5, 2000, drained_max, {}, {}, [])
    watch = Watch([], "tv", 2000, 1500)
    watch.samples = [Sample(n / 4, n, n, {}, n, n, 0, n, 5, 5) for n in range(12)]
    return Outcome(watch, history, judge(evidence))


def test_the_spike_page_is_self_contained_and_shows_every_process() -> None:
    cores = Cores()
    cores.at, cores.seconds = [0.0, 0.5, 1.0, 1.5], {"gate<way>": [0.0, 0.25, 0.5, 0.75]}
    drawn = page(an_outcome(2000), cores)
    assert drawn.count("<svg") == 4
    assert "cores of gate&lt;way&gt;</td><td>0.50" in drawn
    for elsewhere in ("src=", "<link", "<script"):
        assert elsewhere not in drawn


def test_a_broken_promise_is_on_the_spike_page() -> None:
    drawn = page(an_outcome(2001), Cores())
    assert "1 orders over the limit" in drawn
    assert "Every promise was kept" not in drawn
