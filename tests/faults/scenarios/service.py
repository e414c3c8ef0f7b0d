"""What follows a sale dies in the middle, or has nowhere to go."""

from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand

_SERVED = Layout(services=1)


@scenario("relay dies after its publish", layout=_SERVED, rate=60.0, short=True)
async def published(stand: Stand) -> None:
    await stand.again("consumer-1", point=f"published-not-marked:{stand.dice.randint(2, 8)}")
    await stand.died("consumer-1")
    await stand.again("consumer-1")


@scenario("relay dies before it commits what it sent", layout=_SERVED, rate=60.0)
async def marked(stand: Stand) -> None:
    await stand.again("consumer-1", point=f"marked-not-committed:{stand.dice.randint(2, 8)}")
    await stand.died("consumer-1")
    await stand.again("consumer-1")


async def _services_die_at(stand: Stand, point: str) -> None:
    await stand.again("services-1", point=f"{point}:{stand.dice.randint(2, 30)}")
    await stand.died("services-1")
    await stand.again("services-1")


@scenario("service dies with its work done and not recorded", layout=_SERVED, rate=60.0)
async def handled(stand: Stand) -> None:
    await _services_die_at(stand, "handled-not-recorded")


@scenario("service dies with its effect not committed", layout=_SERVED, rate=60.0)
async def not_committed(stand: Stand) -> None:
    await _services_die_at(stand, "effect-not-committed")


@scenario("service dies before its ack", layout=_SERVED, rate=60.0)
async def not_acked(stand: Stand) -> None:
    await _services_die_at(stand, "recorded-not-acked")


@scenario("the queue of a service is full", layout=_SERVED, rate=60.0)
async def full(stand: Stand) -> None:
    async with stand.limited(f"{stand.settings['broker_prefix']}mail", 1):
        await stand.wait(4.0)


@scenario("services cut off from database and broker", layout=_SERVED, rate=60.0)
async def cut_off(stand: Stand) -> None:
    for to in ("database", "broker"):
        stand.link("services-1", to).cut()
        await stand.wait(1.0, 3.0)
    for to in ("database", "broker"):
        stand.link("services-1", to).heal()
