import asyncio

import pytest

from flashsale.broker.rabbitmq.write_batching import WriteBatcher


@pytest.fixture
def writes() -> list[bytes]:
    return []


@pytest.fixture
async def nagle(writes: list[bytes]) -> WriteBatcher:
    return WriteBatcher(writes.append)


async def turn() -> None:
    await asyncio.sleep(0)


async def test_with_nothing_in_flight_a_message_is_written_at_the_end_of_the_turn(
    nagle: WriteBatcher, writes: list[bytes]
) -> None:
    nagle.add(b"a", 1)
    nagle.add(b"b", 2)
    assert writes == []
    await turn()
    assert writes == [b"ab"]


async def test_a_write_waits_for_the_confirm_of_the_last_and_takes_all_gathered_messages(
    nagle: WriteBatcher, writes: list[bytes]
) -> None:
    nagle.add(b"a", 1)
    nagle.add(b"b", 2)
    await turn()
    for tag, message in ((3, b"c"), (4, b"d")):
        nagle.add(message, tag)
        await turn()
    assert writes == [b"ab"]
    nagle.confirmed_below(2)
    assert writes == [b"ab"]
    nagle.confirmed_below(3)
    assert writes == [b"ab", b"cd"]
    nagle.add(b"e", 5)
    await turn()
    assert writes == [b"ab", b"cd"]


async def test_a_late_confirm_delays_a_write_only_shortly(
    nagle: WriteBatcher, writes: list[bytes]
) -> None:
    for tag in (1, 2):
        nagle.add(b"%d" % tag, tag)
        await turn()
    assert writes == [b"1"]
    async with asyncio.timeout(5):
        while len(writes) < 2:
            await asyncio.sleep(0.001)
    assert writes == [b"1", b"2"]


async def test_flush_writes_in_order_without_waiting_for_confirms(
    nagle: WriteBatcher, writes: list[bytes]
) -> None:
    for tag in (1, 2, 3):
        nagle.add(b"%d" % tag, tag)
        await turn()
    nagle.flush()
    assert writes == [b"1", b"23"]
    nagle.flush()
    await turn()
    assert writes == [b"1", b"23"]


async def test_a_whole_write_follows_one_that_is_not_confirmed_and_a_third_does_not(
    nagle: WriteBatcher, writes: list[bytes]
) -> None:
    nagle.add(b"a", 1)
    await turn()
    for tag in range(2, 33):
        nagle.add(b"b", tag)
    await turn()
    assert writes == [b"a"]  # one is missing to a whole write
    nagle.add(b"b", 33)
    await turn()
    assert writes == [b"a", b"b" * 32]
    for tag in range(34, 100):
        nagle.add(b"c", tag)
    await turn()
    assert len(writes) == 2  # two are in flight
    nagle.confirmed_below(2)
    assert writes[2:] == [b"c" * 66]


async def test_a_small_write_waits_for_the_confirms_of_both_before_it(
    nagle: WriteBatcher, writes: list[bytes]
) -> None:
    nagle.add(b"a", 1)
    await turn()
    for tag in range(2, 34):
        nagle.add(b"b", tag)
    await turn()
    nagle.add(b"c", 34)
    await turn()
    nagle.confirmed_below(2)
    nagle.confirmed_below(33)
    assert len(writes) == 2
    nagle.confirmed_below(34)
    assert writes[2:] == [b"c"]
