"""A gateway dies, or what it says does not arrive."""

from tests.faults.scenario import scenario
from tests.faults.stand import Stand


@scenario("a gateway dies after the confirm, before its 202", short=True)
async def before_answer(stand: Stand) -> None:
    await stand.again("gateway-1", point=f"confirmed-not-answered:{stand.dice.randint(5, 40)}")
    await stand.died("gateway-1")
    await stand.again("gateway-1")
