"""The long run, made very short: it measures and judges what a real shop does."""

import asyncio

from loadtest.bench.soak.plan import Plan
from loadtest.bench.soak.run import soak
from loadtest.bench.soak.shop import open_shop

SHORT = Plan(
    minutes=1,
    minute=8,
    spike_rate=400,
    spike_from=1,
    spike_until=2,
    quiet_from=4,
    stock=200,
    queue_max_length=100,
    status_orders=1_000,
)


def test_a_minute_of_the_whole_shop_is_sampled_and_keeps_its_promises() -> None:
    with open_shop(SHORT, workers=2) as shop:
        soaked = asyncio.run(soak(shop, SHORT, lambda _: None))
    assert soaked.broken == []
    assert soaked.passed
    assert soaked.sent == len(list(SHORT.schedule()))
    assert soaked.statuses[429] > 0  # the client that sends too much
    assert 200 <= soaked.accepted == soaked.statuses[202] < soaked.sent
    sampled = {(one.process, one.what) for one in soaked.judged if one.levels}
    for process in ("gateway", "consumer", "consumer 2", "services"):
        assert {(process, w) for w in ("rss_mb", "fds", "connections", "series")} <= sampled
    assert {("RabbitMQ", "connections"), ("PostgreSQL", "connections")} <= sampled
    assert soaked.figures()["gateway_series_last"] == soaked.figures()["gateway_series_first"]
