"""The page of a spike: one self-contained file with the verdict first."""

import re

from flashsale.audit.history import OrderAttempt
from flashsale.ledger import Books
from loadtest.bench.spike.page import TimeAxis, page, time_axis
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
    watch.samples = [Sample(997 + n / 4, n, n, {}, n, n, 0, n, 5, 5) for n in range(12)]
    return Outcome(watch, history, judge(evidence))


def test_the_spike_page_is_self_contained_and_shows_every_process() -> None:
    cores = Cores()
    cores.at, cores.seconds = [997.0, 997.5, 998.0, 998.5], {"gate<way>": [0.0, 0.25, 0.5, 0.75]}
    drawn = page(an_outcome(2000), cores)
    assert drawn.count("<svg") == 4
    assert "cores of gate&lt;way&gt;</td><td>0.50" in drawn
    for elsewhere in ("src=", "<link", "<script"):
        assert elsewhere not in drawn


def test_the_plots_share_one_axis_of_time() -> None:
    """The first shopper comes some seconds after the first sample of the watch."""
    cores = Cores()
    cores.at, cores.seconds = [998.0, 1004.0], {"gateway": [0.0, 0.5]}
    outcome = an_outcome(2000)
    assert time_axis(outcome, cores) == TimeAxis(997.0, 7.0)
    drawn = page(outcome, cores)
    # Where the grid of the seconds is, in each plot.
    plots = drawn.split("<svg")[1:]
    ticks = [
        re.findall(r'id="xtick_\d+".*?<use xlink:href="#\w+" x="([\d.]+)"', plot, re.DOTALL)
        for plot in plots
    ]
    assert len(ticks[0]) > 3
    assert ticks == [ticks[0]] * 4


def test_a_broken_promise_is_on_the_spike_page() -> None:
    drawn = page(an_outcome(2001), Cores())
    assert "1 orders over the limit" in drawn
    assert "Every promise was kept" not in drawn
