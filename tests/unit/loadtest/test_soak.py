"""The load of the soak test, and its judgement of growth."""

import itertools
import time
from collections.abc import Sequence

import pytest
from aiohttp import web

from flashsale.domain.order_ids import keyed_order_id
from loadtest.bench.soak.growth import BOUNDS, Trend, levels, slope
from loadtest.bench.soak.plan import SKIPPED, Plan
from loadtest.bench.soak.run import SoakResult, judge
from loadtest.bench.soak.samples import Samples
from loadtest.bench.soak.shoppers import Shoppers
from loadtest.servers import free_port

SECRET = "a secret of the tests"


def judged(found: Sequence[float], what: str = "rss_mb") -> Trend:
    return Trend("gateway", what, found, BOUNDS[what])


def test_a_minute_is_calm_then_a_spike_then_calm_and_leaves_time_for_answers() -> None:
    moments = list(Plan().schedule())
    in_spike = [moment for moment in moments if 10 <= moment < 20]
    assert len(in_spike) == pytest.approx(50_000, rel=0.01)
    assert len(moments) - len(in_spike) == pytest.approx(48 * 50, rel=0.01)
    assert moments[-1] < 58
    assert all(later > earlier for earlier, later in itertools.pairwise(moments))


@pytest.mark.parametrize("found", [[90, 120, 121, 121, 121, 121], [90, 120, 119, 118, 117, 116]])
def test_a_resource_that_fills_in_the_first_spikes_is_flat(found: list[float]) -> None:
    assert judged(found).flat


def test_one_outlier_minute_is_no_growth() -> None:
    assert judged([90, 120, 120, 120, 170, 120, 120, 120]).flat


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("rss_mb", [100 + 2 * spike for spike in range(10)]),
        ("fds", [40 + spike for spike in range(5)]),
        ("series", [300 + 3 * spike for spike in range(10)]),
    ],
)
def test_a_resource_that_grows_with_every_spike_is_not_flat(what: str, found: list[float]) -> None:
    assert not judged(found, what).flat


def test_too_few_spikes_have_no_slope() -> None:
    assert slope([1, 2]) is None
    assert slope([1, 2, 3]) == 1


def test_minutes_are_compared_in_the_same_phase() -> None:
    series = [(float(second), float(second % 60)) for second in range(180)]
    assert levels(series, [0, 60, 120], since=40, until=50) == [44.5, 44.5, 44.5]
    assert levels(series, [0, 60, 120, 180], since=40, until=50) == [44.5, 44.5, 44.5]


def test_a_leak_of_the_gateway_is_found_among_everything_that_was_sampled() -> None:
    samples, starts = Samples(), [60.0 * minute for minute in range(8)]
    for at in range(0, 480, 2):
        samples.add("gateway", "rss_mb", at, 100 + at / 20)
        samples.add("gateway", "fds", at, 40)
        samples.add("gateway", "backlog", at, 2_000)
        samples.add("PostgreSQL", "rss_mb", at, 100 + at)
    found = judge(samples, starts, Plan())
    result = SoakResult(samples, starts, found, [], sent=10, accepted=4, statuses={202: 4, 503: 6})
    assert [(one.what, one.flat) for one in found if one.process == "gateway"] == [
        ("rss_mb", False),
        ("fds", True),
    ]
    assert not result.passed
    figures = result.figures()
    assert figures["gateway_rss_mb_slope"] == pytest.approx(3)
    assert figures["answers_503"] == 6
    assert figures["not_flat"] == ["gateway: rss_mb"]


async def test_shoppers_record_their_answers() -> None:
    seen: list[str] = []

    async def order(request: web.Request) -> web.Response:
        seen.append(request.headers["Idempotency-Key"])
        assert (await request.json())["customer_id"] == seen[-1]
        return web.json_response({}, status=202 if len(seen) % 2 else 503)

    app = web.Application()
    app.router.add_post("/orders", order)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        shoppers = Shoppers(port, SECRET)
        for sku in ("tv", "phone"):
            await shoppers.order(sku, [number / 1000 for number in range(20)])
    finally:
        await runner.cleanup()
    assert len(set(seen)) == 40
    assert shoppers.statuses == {202: 20, 503: 20}
    assert shoppers.unanswered == 0
    assert set(shoppers.accepted) == {
        keyed_order_id(SECRET.encode(), key, key) for key in seen[::2]
    }


async def test_a_shopper_without_an_answer_is_counted_as_unanswered() -> None:
    shoppers = Shoppers(free_port(), SECRET)
    started = time.monotonic()
    await shoppers.order("tv", [0.0, 0.001])  # nobody listens there
    assert time.monotonic() - started < 5
    assert shoppers.statuses == {0: 2}


def test_the_first_spikes_are_not_judged() -> None:
    assert judged([0] * SKIPPED + [100, 100, 100]).flat
