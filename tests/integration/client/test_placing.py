"""The client gets one order for one intention, whatever answers it gets on the way."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from flashsale.client import (
    Exchange,
    Intention,
    NotTaken,
    OutcomeUnknown,
    Refused,
    SaleClient,
)
from tests.faults.proxy import Connection, proxy
from tests.integration.client.middleman import Middleman
from tests.integration.gateway.embedded_gateway import EmbeddedGateway, open_gateway

TV = Intention("tv", customer_id="c-1")


async def test_an_order_is_placed_and_bought(gateway: EmbeddedGateway) -> None:
    async with SaleClient(gateway.url) as client:
        placed = await client.place(TV)
        assert (placed.status, placed.position, placed.decided) == ("queued", 1, False)
        gateway.drain()
        bought = await client.buy(TV)
    assert (bought.order_id, bought.confirmed) == (placed.order_id, True)
    assert (bought.sku, bought.quantity) == ("tv", 1)


async def test_an_order_whose_answer_was_reset_is_sent_again_under_its_key(
    gateway: EmbeddedGateway,
) -> None:
    lost = 0

    def reset_first_answer(connection: Connection, _: bytes) -> None:
        nonlocal lost
        if not lost:
            connection.reset()
        lost += 1

    async with proxy(lambda: int(gateway.url.rpartition(":")[2])) as link:
        link.back.watch = reset_first_answer
        exchanges: list[Exchange] = []
        async with SaleClient(f"http://127.0.0.1:{link.port}", observer=exchanges.append) as client:
            await client.place(TV)
    assert [each.status for each in exchanges] == [None, 202]
    assert await gateway.backlog() == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "trick",
    [
        *("lose the request", "lose the answer", "break off the answer", "send it twice", "502"),
        *("504 of a request that arrived", "a login page", "a 404 of a proxy"),
        "sold out, and an earlier attempt is unknown",
    ],
)
async def test_an_answer_that_does_not_tell_the_outcome_is_asked_for_under_the_same_key(
    gateway: EmbeddedGateway, between: Middleman, trick: str
) -> None:
    between.tricks = [trick, trick]
    async with SaleClient(between.url) as client:
        placed = await client.place(TV)
    assert placed.status == "queued"
    assert set(between.keys) == {TV.key}
    assert set(between.taken) == {placed.order_id}
    assert await gateway.backlog() == 1


@pytest.mark.usefixtures("hasty")
async def test_an_attempt_without_an_answer_ends_after_its_time(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["answer never"]
    async with SaleClient(between.url, attempt_seconds=0.5) as client:
        assert (await client.place(TV)).status == "queued"
    assert len(between.keys) == 2
    assert await gateway.backlog() == 1


async def test_a_full_queue_is_tried_again_after_the_time_that_it_asks_for(
    sqlite_url: str,
) -> None:
    async with open_gateway(sqlite_url, queue_max_length=1, drain_rate=5) as gateway:
        number = 0
        while (await gateway.order(customer_id=f"other-{number}")).status == 202:
            number += 1
        exchanges: list[Exchange] = []

        def observe(exchange: Exchange) -> None:
            exchanges.append(exchange)
            if len(gateway.tasks) == 0:
                gateway.drain()

        async with SaleClient(gateway.url, observer=observe) as client:
            await client.place(TV)
    first = exchanges[0]
    assert first.problem is not None
    assert first.problem.kind == "queue-full"
    assert exchanges[-1].status == 202
    for before, after in pairwise(exchanges):
        assert before.retry_after is not None
        assert after.started - before.started >= before.retry_after


async def test_a_client_that_came_too_often_waits_as_long_as_it_is_told(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["too often"]
    exchanges: list[Exchange] = []
    async with SaleClient(between.url, observer=exchanges.append) as client:
        await client.place(TV)
    assert [each.status for each in exchanges] == [429, 202]
    assert exchanges[1].started - exchanges[0].started >= 1.0


async def test_who_has_no_patience_for_a_retry_after_is_told_so_at_once(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["too often"]
    async with SaleClient(between.url) as client:
        with pytest.raises(NotTaken) as raised:
            await client.place(TV, patience=0.9)
    assert raised.value.retry_after >= 1
    assert raised.value.problem is not None
    assert raised.value.problem.kind == "client-rate"
    assert len(between.keys) == 1
    assert await gateway.backlog() == 0


@pytest.mark.usefixtures("hasty")
async def test_an_unknown_outcome_is_told_as_such_once_the_patience_is_over(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["lose the answer", *["queue full"] * 1000]
    async with SaleClient(between.url) as client:
        with pytest.raises(OutcomeUnknown):
            await client.place(TV, patience=0.3)
        between.tricks = []
        assert (await client.place(TV)).order_id == between.taken[0]
    assert await gateway.backlog() == 1


async def test_nobody_at_the_address_is_an_unknown_outcome() -> None:
    async with proxy(lambda: 1) as link, SaleClient(f"http://127.0.0.1:{link.port}") as client:
        with pytest.raises(OutcomeUnknown) as raised:
            await client.place(TV, patience=0.2)
    assert raised.value.problem is None


@pytest.mark.parametrize(
    ("intention", "status", "kind"),
    [
        (Intention("gone", "c"), 409, "sold-out"),
        (Intention("late", "c"), 409, "sale-closed"),
        (Intention("early", "c"), 409, "sale-not-open"),
        (Intention("nothing", "c"), 404, "unknown-sku"),
        (Intention("tv", "c", quantity=0), 422, "invalid-order"),
        (Intention("tv"), 422, "invalid-order"),
        (Intention("tv", "c", key="a b"), 400, "bad-idempotency-key"),
    ],
)
async def test_a_refusal_is_an_error_with_its_problem(
    gateway: EmbeddedGateway, intention: Intention, status: int, kind: str
) -> None:
    async with SaleClient(gateway.url) as client:
        with pytest.raises(Refused) as raised:
            await client.buy(intention)
    assert (raised.value.problem.status, raised.value.problem.kind) == (status, kind)


async def test_a_wrong_order_is_told_field_by_field(gateway: EmbeddedGateway) -> None:
    async with SaleClient(gateway.url) as client:
        with pytest.raises(Refused) as raised:
            await client.place(Intention("tv", "c", quantity=0))
    assert [error["field"] for error in raised.value.problem.errors] == ["quantity"]


async def test_a_key_that_came_with_another_order_is_refused(gateway: EmbeddedGateway) -> None:
    async with SaleClient(gateway.url) as client:
        await client.place(TV)
        with pytest.raises(Refused) as raised:
            await client.place(replace(TV, quantity=2))
    assert raised.value.problem.kind == "key-reused"


@pytest.mark.usefixtures("hasty")
async def test_a_refused_retry_of_an_order_that_was_taken_is_that_order(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["lose the answer", "sold out"]
    async with SaleClient(between.url) as client:
        placed = await client.place(TV)
    assert [placed.order_id] == between.taken
    assert placed.status == "queued"


@pytest.mark.usefixtures("hasty")
async def test_a_refused_retry_of_an_order_that_nobody_took_is_refused(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["lose the request", "sold out"]
    async with SaleClient(between.url) as client:
        with pytest.raises(Refused):
            await client.place(TV)
    assert between.taken == []


async def test_a_second_address_is_tried_if_the_first_does_not_answer(
    gateway: EmbeddedGateway,
) -> None:
    async with proxy(lambda: 1) as nobody:
        addresses = [f"http://127.0.0.1:{nobody.port}", gateway.url]
        exchanges: list[Exchange] = []
        async with SaleClient(addresses, observer=exchanges.append) as client:
            for number in range(6):
                await client.place(Intention("tv", f"c-{number}"), patience=5)
    assert {each.gateway for each in exchanges if each.status == 202} == {gateway.url}
    assert await gateway.backlog() == 6


async def test_token_and_pass_are_sent_and_not_shown(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    intention = Intention("tv", "c", purchase_pass="the-pass")
    async with SaleClient(between.url, token="first") as client:
        placed = await client.place(intention)
        client.use_token("second")
        await client.look(placed.order_id)
    posted, looked = (request.headers for request in between.requests)
    assert (posted["Authorization"], posted["Purchase-Pass"]) == ("Bearer first", "the-pass")
    assert looked["Authorization"] == "Bearer second"
    assert "Purchase-Pass" not in looked
    assert "the-pass" not in repr(intention)


async def test_an_attempt_that_is_cancelled_can_be_made_again(
    gateway: EmbeddedGateway, between: Middleman
) -> None:
    between.tricks = ["answer never"]
    async with SaleClient(between.url) as client:
        placing = asyncio.create_task(client.place(TV))
        async with asyncio.timeout(60):
            while not between.taken:
                await asyncio.sleep(0.01)
        placing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await placing
        assert (await client.place(TV)).order_id == between.taken[0]
    assert await gateway.backlog() == 1


@pytest.mark.parametrize(
    "address", ["", "shop.example", "ftp://shop.example", "http://", "https://a?b"]
)
async def test_an_address_that_is_none_is_an_error_at_the_start(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        SaleClient(address)


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await SaleClient("http://127.0.0.1").place(TV)


async def test_a_place_under_a_path_of_a_site_keeps_the_path(between: Middleman) -> None:
    async with SaleClient(f"{between.url}/flash/") as client:
        with pytest.raises(Refused):
            await client.place(TV)
    assert between.requests[0].path == "/flash/orders"


def test_the_client_imports_nothing_of_the_server() -> None:
    import subprocess
    import sys

    program = "import sys, flashsale.client\nprint(*sorted(m for m in sys.modules if '.' in m))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    ours = {name for name in done.stdout.split() if name.startswith(("flashsale.", "gateway."))}
    assert {name.split(".")[1] for name in ours} == {"client", "domain"}
