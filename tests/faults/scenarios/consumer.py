"""The drain dies, freezes or meets what it cannot read, and it or another one goes on."""

import signal
from functools import partial

from flashsale.broker import RabbitMQ
from flashsale.messages.orders import encode_order
from tests.conftest import an_order
from tests.faults.proxy import Connection
from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_SERVED = Layout(services=1)
_STANDBY = Layout(consumers=2)
_TAKEOVER_SECONDS = 15.0


async def _dies_at(stand: Stand, point: str) -> None:
    await stand.again("consumer-1", point=f"{point}:{stand.dice.randint(3, 12)}")
    await stand.killed_itself("consumer-1")
    await stand.again("consumer-1")


@scenario("consumer dies before its commit", short=True)
async def before_commit(stand: Stand) -> None:
    await _dies_at(stand, "sold-not-committed")


@scenario("consumer dies after its commit, before its ack", short=True)
async def before_ack(stand: Stand) -> None:
    await _dies_at(stand, "committed-not-acked")


@scenario("consumer dies after its ack, before it announced")
async def before_announcement(stand: Stand) -> None:
    await _dies_at(stand, "acked-not-announced")


@scenario("the reply to a COMMIT is lost", short=True)
async def commit_reply(stand: Stand) -> None:
    link = stand.link("consumer-1", "database")
    lost: list[Connection] = []

    def lose(connection: Connection, data: bytes) -> None:
        if b"COMMIT" in data and not lost:
            connection.lost = True
            lost.append(connection)

    link.there.watch = lose
    await stand.until(lambda: bool(lost), "a COMMIT")
    await stand.wait(0.1, 0.5)
    lost[0].reset()
    link.heal()


@scenario("zombie: consumer frozen past its session, thawed when another drains", layout=_STANDBY)
async def zombie(stand: Stand) -> None:
    stand.signal("consumer-1", signal.SIGSTOP)
    await stand.wait(1.0)
    before = await stand.decided()

    async def taken_over() -> bool:
        return await stand.decided() > before + 50

    await stand.until(taken_over, "the successor", _TAKEOVER_SECONDS)
    stand.signal("consumer-1", signal.SIGCONT)
    await stand.wait(3.0)


for mode in ("session", "transaction"):
    scenario(
        f"the same behind PgBouncer in {mode} mode",
        layout=Layout(consumers=2, services=1, pooler=mode),
    )(zombie)


@scenario("consumer killed behind PgBouncer", layout=Layout(consumers=2, pooler="transaction"))
async def killed_behind_pooler(stand: Stand) -> None:
    stand.signal("consumer-1", signal.SIGKILL)
    await stand.died("consumer-1")
    before = await stand.decided()

    async def taken_over() -> bool:
        return await stand.decided() > before + 50

    await stand.until(taken_over, "the successor", _TAKEOVER_SECONDS)


@scenario("frozen consumer, killed")
async def frozen_then_killed(stand: Stand) -> None:
    stand.signal("consumer-1", signal.SIGSTOP)
    await stand.wait(0.5, 2.0)
    stand.signal("consumer-1", signal.SIGKILL)
    await stand.died("consumer-1")
    await stand.again("consumer-1")


async def _terminated(stand: Stand, name: str) -> None:
    stand.signal(name, signal.SIGTERM)
    await stand.died(name)
    await stand.wait(0.0, 1.0)
    await stand.again(name)


for name, layout in (("consumer-1", Layout()), ("gateway-1", Layout()), ("services-1", _SERVED)):
    scenario(f"SIGTERM of {name} in the middle of a spike", layout=layout, rate=300.0)(
        partial(_terminated, name=name)
    )


@scenario("poison in the middle of a batch", short=True)
async def poison(stand: Stand) -> None:
    # What the gateway never lets through: no order at all, and a NUL, which PostgreSQL refuses.
    unwritable = an_order(customer_id="ok", sku="radio")
    nul = encode_order(unwritable).replace(b"\xa2ok", b"\xa2o\0")
    async with RabbitMQ(stand.node.url, stand.topology) as broker:
        for order_id, body in (("", b"no order"), (unwritable.id, nul), ("", b"\xff\xff")):
            await broker.publish(stand.topology.orders, "order", body, message_id=order_id)
            await stand.wait(0.0, 0.3)
        await stand.wait(1.0)

        async def buried() -> bool:
            return (await broker.depth(stand.topology.dead_orders)).ready == 3

        await stand.until(buried, "three dead letters")


@scenario("the link from consumer to broker is silent towards the broker for 30 s")
async def one_way_silence(stand: Stand) -> None:
    link = stand.link("consumer-1", "broker")
    link.there.silent = True
    await stand.wait(30.0)
    link.heal()


@scenario("slow links: 20 ms, a kilobyte at a time, 200 kB/s")
async def slow(stand: Stand) -> None:
    for link in stand.links.values():
        for flow in (link.there, link.back):
            flow.delay, flow.slice, flow.limit = 0.02, 1024, 200_000.0
    await stand.wait(4.0)
    for link in stand.links.values():
        link.heal()
