"""Relay and services in processes of their own, killed at their worst moments."""

import asyncio
import email
import getpass
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from flashsale.broker import Queue, RabbitMQ, Topology, sale_topology
from flashsale.domain.order_ids import OrderId
from flashsale.domain.order_states import Status
from flashsale.messages.orders import encode_order
from loadtest.processes import scrape
from loadtest.servers import RabbitNode, free_port, rabbitmq
from services.builtin.loyalty import POINTS_PER_ITEM
from tests.conftest import an_order, draining, unique
from tests.database import event_ids, rows
from tests.integration.shop import ROOT, Shop
from tests.processes import run

ORDERS = 1000
SLOW_SERVICES = ("loyalty", "mail", "ranking")
SERVICES = (*SLOW_SERVICES, "webhook")


class Mailbox:
    """What a mail server got, by Message-ID."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return "250 OK"

    @property
    def ids(self) -> Counter[str]:
        return Counter(
            str(email.message_from_bytes(mail, policy=default)["Message-ID"]).strip("<>")
            for mail in self.mails
        )


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A real SMTP server, and its URL."""
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop()


async def all_effects_once(shop: Shop, orders: int) -> None:
    """Every confirmed order has the effect of every service, once."""
    for service in SERVICES:
        # Services have a low priority: on a busy machine they come last.
        await shop.until(f"effects WHERE service = '{service}'", orders, seconds=180)
    assert await shop.count("effects") == len(SERVICES) * orders
    confirmed = await shop.count("orders WHERE status = 'confirmed'")
    assert confirmed == orders
    # Each shopper here buys one item, so a doubled effect is a doubled figure.
    assert await shop.count(f"loyalty WHERE points = {POINTS_PER_ITEM}") == orders
    assert await shop.count("loyalty") == orders
    assert await shop.count("ranking WHERE bought = 1") == orders
    assert await shop.count("ranking") == orders
    assert (await shop.ledger.audit()).wrong == ()


@pytest.mark.parametrize("point", ["published-not-marked", "marked-not-committed"])
async def test_kill_9_of_the_relay_doubles_no_effect_and_loses_none(
    shop: Shop, point: str, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    port = free_port()
    with (
        shop.start("gateway") as gateway,
        shop.start("services", smtp_url=url, metrics_port=str(port)),
    ):
        shop.ready(gateway)
        ordering = asyncio.create_task(shop.orders(ORDERS))
        for at in (2, 3):
            with shop.start_dying(point, at, "consumer") as consumer:
                assert await asyncio.to_thread(consumer.wait, 60) == -9
        with shop.start("consumer"):
            await ordering
            await all_effects_once(shop, ORDERS)
            repeated = scrape(port)["flashsale_service_repeated_events_total", "loyalty"]
    assert repeated > 0, "nothing was published twice: this tested nothing"
    assert set(box.ids) == {f"{event_id}@localhost" for event_id in await shop.accepted_events()}
    assert set(box.ids.values()) == {1}, "the relay's copies were told to be copies"


@pytest.mark.parametrize(
    "point", ["handled-not-recorded", "effect-not-committed", "recorded-not-acked"]
)
async def test_kill_9_of_the_services_doubles_no_effect_and_loses_no_mail(
    shop: Shop, point: str, mailbox: tuple[Mailbox, str]
) -> None:
    box, url = mailbox
    with shop.start("gateway") as gateway, shop.start("consumer"):
        shop.ready(gateway)
        ordering = asyncio.create_task(shop.orders(ORDERS))
        for at in (2, 3, 4):
            with shop.start_dying(point, at, "services", smtp_url=url) as dying:
                assert await asyncio.to_thread(dying.wait, 60) == -9
        with shop.start("services", smtp_url=url):
            await ordering
            await all_effects_once(shop, ORDERS)
    # At least once, and every copy under one Message-ID.
    assert set(box.ids) == {f"{event_id}@localhost" for event_id in await shop.accepted_events()}


async def test_kill_9_of_the_broker_loses_no_event(shop: Shop, node: RabbitNode) -> None:
    folder = shop.folder / "mail"
    with (
        shop.start("gateway", publish_timeout_seconds="1") as gateway,
        shop.start("consumer", drain_rate="400") as consumer,
        shop.start("services", mail_folder=str(folder)) as services,
    ):
        shop.ready(gateway)
        ordering = asyncio.create_task(shop.orders(ORDERS))
        await shop.until("effects", 300)
        node.kill()
        await asyncio.to_thread(node.start)
        await ordering
        await all_effects_once(shop, ORDERS)
        assert consumer.running
        assert services.running
    assert {file.stem for file in folder.glob("*.eml")} == set(await shop.accepted_events())


async def test_events_that_wait_for_their_retry_survive_kill_9_of_the_broker() -> None:
    """The broker dies while it gives events back to their queue: none is lost.

    Where hundreds of quorum queues have to elect a leader after the kill, events come back more
    than a minute late. So this node has no other queues.
    """
    topology = sale_topology(f"{unique('r')}.", 2000, "quorum")
    work = f"{topology.orders}.work"
    later = Queue(f"{work}.retry", delay_seconds=1, expires_to=work)
    topology += Topology((), (Queue(work), later), ())
    ids = {f"{number}" for number in range(1000)}
    found: set[str] = set()
    with rabbitmq() as node:
        async with RabbitMQ(node.url, topology) as broker:
            sent = [broker.publish("", later.name, b"later", message_id=each) for each in ids]
            await asyncio.gather(*sent)
            async with asyncio.timeout(60):
                while not (await broker.depth(work)).ready:
                    await asyncio.sleep(0)
            node.kill()
            await asyncio.to_thread(node.start)
        async with RabbitMQ(node.url, topology) as broker, broker.consume(work, 0) as deliveries:
            async with asyncio.timeout(60):
                while found < ids:
                    await deliveries.wait()
                    found |= {delivery.message_id for delivery in deliveries.take(1000)}
    assert found == ids


async def test_a_slow_service_does_not_delay_shoppers(shop: Shop) -> None:
    """With services that take a second, an order is answered as fast as without any."""
    slow = {f"{name}_latency_ms": "2000" for name in SLOW_SERVICES}
    metrics = free_port()
    with shop.start("gateway") as gateway, shop.start("consumer"):
        shop.ready(gateway)
        await response_time(shop)
        off = await response_time(shop)
        with shop.start("services", metrics_port=str(metrics), **slow) as services:
            services.await_url(f"http://127.0.0.1:{metrics}/metrics")
            on = await response_time(shop)
            orders = len(shop.accepted)
            await all_effects_once(shop, orders)
        # What each takes is many times what its absence would save.
        assert on - off < 0.25, (on, off)
        # They overlap: one after the other they would take six seconds from the event on.
        async with asyncio.timeout(60):
            longest = await _longest_services(shop)
        assert longest < 6, longest


async def response_time(shop: Shop) -> float:
    times = []
    for _ in range(40):
        started = time.perf_counter()
        assert await shop.order() == 202
        times.append(time.perf_counter() - started)
    return statistics.median(times)


async def _longest_services(shop: Shop) -> float:
    """Seconds from an order's decision to its last effect: the median order that had services."""
    found = await rows(
        shop.database_url,
        "SELECT max(done_at) - o.decided_at AS seconds FROM effects e JOIN orders o"
        " ON o.id = e.order_id GROUP BY o.id, o.decided_at"
        " ORDER BY o.decided_at DESC LIMIT 40",
    )
    return float(statistics.median(row.seconds for row in found))


def flashsale(shop: Shop, *arguments: str, status: int = 0) -> str:
    done = run(["flashsale", *arguments], shop.environment | {"COLUMNS": "200"}, shop.folder)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


async def test_dead_orders_are_listed_shown_replayed_and_dropped(
    shop: Shop, node: RabbitNode
) -> None:
    topology = sale_topology(shop.environment["FLASHSALE_BROKER_PREFIX"], 2000, "quorum")
    unreadable, unlucky = an_order(), an_order(customer_id="me")
    async with RabbitMQ(node.url, topology) as broker:
        # One that can't be read, and one that once could not be written.
        await broker.publish(topology.orders, "order", b"no order", message_id=unreadable.id)
        with shop.start("consumer"):
            assert (await shop.decided(1))[unreadable.id].status is Status.FAILED
        async with draining(shop.ledger) as sink:
            await sink.fail(OrderId(unlucky.id), "refused: disk on fire", time.time())
        await broker.publish(
            topology.orders,
            "dead",
            encode_order(unlucky),
            message_id=unlucky.id,
            headers={"reason": "refused: disk on fire", "died_at": 1_800_000_000},
        )

    listed = flashsale(shop, "dead", "list")
    for words in (unreadable.id, unlucky.id, "not an order", "disk on fire", "2 dead letters"):
        assert words in listed
    assert "0 dead letters" in flashsale(shop, "dead", "list", "--queue", "mail")
    seen = json.loads(flashsale(shop, "dead", "list", "--queue", "orders", "--json"))
    assert seen["queues"] == [{"queue": "orders", "count": 2}]
    assert [letter["order_id"] for letter in seen["letters"]] == [None, unlucky.id]
    assert seen["letters"][1]["died_at"] == "2027-01-15T08:00:00Z"
    one = json.loads(flashsale(shop, "dead", "show", unlucky.id, "--json"))
    assert one["headers"]["reason"] == one["reason"] == "refused: disk on fire"
    shown = flashsale(shop, "dead", "show", unlucky.id, "--queue", "orders")
    for words in ("reason: refused: disk on fire", '"customer_id": "me"', '"quantity": 1'):
        assert words in shown
    assert "no order" in flashsale(shop, "dead", "show", unreadable.id)
    assert "no dead letter x" in flashsale(shop, "dead", "show", "x", status=1)
    assert "no queue nonsense" in flashsale(shop, "dead", "list", "--queue", "nonsense", status=1)
    assert "or --all" in flashsale(shop, "dead", "drop", status=1)
    assert "no such dead letters" in flashsale(shop, "dead", "replay", "x", status=1)

    with shop.start("gateway") as gateway, shop.start("consumer"):
        shop.ready(gateway)
        async with shop.client.get(f"{shop.url}/orders/{unlucky.id}") as answer:
            assert (await answer.json())["status"] == "failed"
        why = "--reason", "the fire is out"
        assert "replayed 1" in flashsale(shop, "dead", "replay", unlucky.id, *why)
        async with asyncio.timeout(60):
            while (await shop.outcomes())[unlucky.id].status is not Status.CONFIRMED:
                await asyncio.sleep(0.05)
            while True:  # the gateway that told of its failure tells of its success
                async with shop.client.get(f"{shop.url}/orders/{unlucky.id}") as answer:
                    if (await answer.json())["status"] == "confirmed":
                        break
        # What can't be read comes back as dead as it was.
        assert "replayed 1" in flashsale(shop, "dead", "replay", "--all")
        await asyncio.to_thread(_until_listed, shop, "1 dead letters")
    dropped = json.loads(flashsale(shop, "dead", "drop", unreadable.id, "--json"))
    done = {"count": 1, "ids": [unreadable.id]}
    assert dropped == {"count": 1, "queues": [{"queue": "orders", **done}]}
    assert "0 dead letters" in flashsale(shop, "dead", "list")
    assert (await shop.ledger.audit()).wrong == ()
    # What was refused or found nothing is no change.
    entries = await shop.ledger.audit_log.entries(100)
    assert [(entry.action, entry.target, entry.reason) for entry in reversed(entries)] == [
        ("sale.create", "tv", None),
        ("dead.replay", "orders", "the fire is out"),
        ("dead.replay", "orders", None),
        ("dead.drop", "orders", None),
    ]
    assert entries[0].after == done
    assert entries[0].who == f"cli:{getpass.getuser()}"


def _until_listed(shop: Shop, words: str) -> None:
    deadline = time.monotonic() + 20
    while words not in flashsale(shop, "dead", "list"):
        if time.monotonic() > deadline:
            raise AssertionError(f"never listed: {words}")


async def test_the_service_of_the_documentation_needs_no_change_elsewhere(shop: Shop) -> None:
    """The worked example, as it stands there, in a package of its own."""
    page = (ROOT / "docs/services.md").read_text()
    module = page.split('```python\n"""invoices.py"""\n', 1)[1].split("```", 1)[0]
    entry = page.split("```toml\n", 1)[1].split("```", 1)[0]
    package = shop.folder / "package"
    metadata = package / "invoices-1.0.dist-info"
    metadata.mkdir(parents=True)
    (package / "invoices.py").write_text(module)
    assert '[project.entry-points."flashsale.services"]' in entry
    (metadata / "entry_points.txt").write_text(
        "[flashsale.services]\n" + entry.splitlines()[1].replace('"', "") + "\n"
    )
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: invoices\nVersion: 1.0\n")
    shop.environment["PYTHONPATH"] = f"{package}{os.pathsep}{ROOT}"

    assert "invoices.dead" in flashsale(shop, "topology")
    with shop.start("gateway") as gateway, shop.start("consumer"):
        shop.ready(gateway)
        await shop.orders(20)
        await shop.decided(20)
        # It comes late, and has missed nothing: its queue stood before the first event.
        with shop.start("services", "invoices"):
            await shop.until("effects WHERE service = 'invoices'", 20)
        assert await shop.count("invoices WHERE cents = 19900") == 20
    assert await shop.count("effects") == 20, "no other service ran"


async def test_a_service_that_is_not_installed_is_named(shop: Shop) -> None:
    assert "no service nonsense" in flashsale(shop, "services", "nonsense", status=1)
    shop.environment["FLASHSALE_SERVICES"] = "mail,nonsense"
    assert "no service nonsense" in flashsale(shop, "consumer", status=1)
    shop.environment["FLASHSALE_SERVICES"] = "mail"
    assert "must have ranking in it" in flashsale(shop, "services", "ranking", status=1)
    shop.environment["FLASHSALE_SERVICES"] = "none"
    assert "no service to run" in flashsale(shop, "services", status=1)


async def test_mail_that_the_server_refuses_for_good_is_dead_at_once(shop: Shop) -> None:
    class Refusing(Mailbox):
        async def handle_RCPT(
            self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
        ) -> str:
            if address.startswith("key"):
                return "550 no such mailbox"
            envelope.rcpt_tos.append(address)
            return "250 OK"

    box, port = Refusing(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        with (
            shop.start("gateway") as gateway,
            shop.start("consumer"),
            shop.start("services", "mail", smtp_url=f"smtp://127.0.0.1:{port}"),
        ):
            shop.ready(gateway)
            await shop.order()
            [refused] = shop.accepted
            body = {"sku": "tv", "customer_id": "ann@home.example"}
            async with shop.client.post(f"{shop.url}/orders", json=body) as answer:
                order_id = (await answer.json())["order_id"]
            await shop.until("effects WHERE service = 'mail'", 1)
            await asyncio.to_thread(_until_listed, shop, "no such mailbox")
            listed = flashsale(shop, "dead", "list", "--queue", "mail")
            assert refused in listed, "an operator knows the order, not its event"
            assert (await shop.accepted_events())[0] in listed
    finally:
        controller.stop()
    event_id = (await event_ids(shop.database_url))[order_id]
    assert set(box.ids) == {f"{event_id}@localhost"}
    assert order_id.encode() in box.mails[0], "a customer knows the order, not its event"
