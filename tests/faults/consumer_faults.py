"""The drain dies, and another one, or the same again, takes over."""

from tests.faults.scenario import scenario
from tests.faults.stand import Stand


async def _dies_at(stand: Stand, point: str) -> None:
    await stand.again("consumer-1", point=f"{point}:{stand.dice.randint(3, 12)}")
    await stand.died("consumer-1")
    await stand.again("consumer-1")


@scenario("the consumer dies before its commit", short=True)
async def before_commit(stand: Stand) -> None:
    await _dies_at(stand, "sold-not-committed")


@scenario("the consumer dies after its commit, before its ack", short=True)
async def before_ack(stand: Stand) -> None:
    await _dies_at(stand, "committed-not-acked")


@scenario("the consumer dies after its ack, before it announced", short=True)
async def before_announcement(stand: Stand) -> None:
    await _dies_at(stand, "acked-not-announced")
