"""Orders that are refused: by the sale, by a full queue, by a lost broker."""

import asyncio
from typing import Any

import pytest

from flashsale.broker import BrokerUnavailable, EmbeddedBroker
from tests.integration.gateway.embedded_gateway import (
    EmbeddedGateway,
    open_gateway,
    until,
)


async def test_an_order_of_an_unknown_sku_is_404(gateway: EmbeddedGateway) -> None:
    answer = await gateway.order(sku="radio")
    assert (answer.status, answer.problem) == (404, "unknown-sku")


@pytest.mark.parametrize(
    ("sku", "problem"), [("gone", "sold-out"), ("early", "sale-not-open"), ("late", "sale-closed")]
)
async def test_an_order_that_the_sale_refuses_is_409_without_the_broker(
    gateway: EmbeddedGateway, sku: str, problem: str
) -> None:
    assert isinstance(gateway.stack.broker, EmbeddedBroker)
    await gateway.stack.broker.__aexit__(None, None, None)  # nothing could be published now
    answer = await gateway.order(sku=sku)
    assert (answer.status, answer.problem) == (409, problem)
    assert "order_id" not in answer.body
    keyed = await gateway.order(sku=sku, key="k")
    assert len(keyed.body["order_id"]) == 32  # an earlier attempt elsewhere can be looked up


async def test_an_order_for_a_full_queue_is_refused_with_retry_after(sqlite_url: str) -> None:
    async with open_gateway(sqlite_url, queue_max_length=3) as gateway:
        answers = [await gateway.order(key=f"k-{n}") for n in range(5)]
        assert [a.status for a in answers] == [202, 202, 202, 503, 503]
        assert answers[3].problem == "queue-full"
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 30
        gateway.drain()
        again = await until(lambda: gateway.order(key="k-3"), lambda answer: answer.status == 202)
        assert again.body["status"] == "queued"


async def test_a_full_queue_is_remembered_for_a_moment_without_asking_the_broker(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    async with open_gateway(sqlite_url, queue_max_length=1) as gateway:
        publish = gateway.stack.broker.publish

        def counted(exchange: str, routing_key: str, body: bytes, **named: Any) -> Any:
            if routing_key == "order":
                asked.append(routing_key)
            return publish(exchange, routing_key, body, **named)

        monkeypatch.setattr(gateway.stack.broker, "publish", counted)
        monkeypatch.setattr("gateway.intake.full_queue.SAMPLE_SECONDS", 60)
        monkeypatch.setattr("gateway.intake.full_queue._PROBE_SECONDS", 60)
        assert (await gateway.order()).status == 202
        async with asyncio.timeout(60):
            while not gateway.context.backlog.ready:
                await asyncio.sleep(0.01)
        assert (await gateway.order()).status == 503
        refused = [await gateway.order() for _ in range(5)]
        assert {(a.status, a.problem) for a in refused} == {(503, "queue-full")}
        assert all(int(a.headers["Retry-After"]) >= 1 for a in refused)
        assert len(asked) == 2
        monkeypatch.setattr("gateway.intake.full_queue.SAMPLE_SECONDS", 0)
        gateway.context.intake._full_queue.note_refusal()  # the moment is over
        assert (await gateway.order()).status == 503
        assert len(asked) == 3


async def test_a_lost_broker_is_503_with_the_order_id_and_a_retry_is_safe(
    gateway: EmbeddedGateway,
) -> None:
    broker = gateway.stack.broker
    await broker.__aexit__(None, None, None)
    answer = await gateway.order(key="k")
    assert (answer.status, answer.problem) == (503, "broker-unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    await broker.__aenter__()
    again = await gateway.order(key="k")
    assert (again.status, again.body["order_id"]) == (202, answer.body["order_id"])


async def test_a_missing_confirm_is_503_for_both_of_two_equal_requests(
    gateway: EmbeddedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(gateway.stack.broker, "publish", lambda *_, **__: confirm)
    twins = [asyncio.create_task(gateway.order(key="k")) for _ in range(2)]
    await asyncio.sleep(0.05)
    confirm.set_exception(BrokerUnavailable("no confirm in time"))
    answers = await asyncio.gather(*twins)
    assert [a.problem for a in answers] == ["broker-unavailable"] * 2
    assert len({a.body["order_id"] for a in answers}) == 1
