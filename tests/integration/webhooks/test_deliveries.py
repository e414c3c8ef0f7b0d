"""The table of deliveries: claimed by one at a time, in order, and never lost."""

import asyncio
import time

import pytest

from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.order_ids import random_order_id
from flashsale.domain.webhooks.deliveries import AttemptResult
from flashsale.domain.webhooks.schedule import LONGEST_FAILING_SECONDS
from flashsale.ledger import Ledger, Room
from tests.integration.webhooks.builders import (
    ANN,
    LEASE_SECONDS,
    a_webhook,
    an_attempt,
    an_endpoint,
    claimed,
    wrote,
)

FAILED, DELIVERED, DEAD = AttemptResult.FAILED, AttemptResult.DELIVERED, AttemptResult.DEAD


async def test_a_delivery_is_claimed_by_one_process_until_its_lease_ends(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, *(a_webhook() for _ in range(20)))
    now = time.time()
    room = Room({}, each=5, total=64)
    rounds = await asyncio.gather(*(claimed(ledger, now, room) for _ in range(8)))
    ids = [delivery.id for found in rounds for delivery in found]
    assert len(ids) == len(set(ids))
    while found := await claimed(ledger, now, room):
        ids += [delivery.id for delivery in found]
    assert len(set(ids)) == len(ids) == 20
    assert await claimed(ledger, now + LEASE_SECONDS - 1, room) == []
    assert len(await claimed(ledger, now + LEASE_SECONDS + 1, room)) == 5


async def test_the_oldest_deliveries_come_first(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    now = time.time()
    events = [a_webhook(decided_at=now - age) for age in (5, 9, 1, 7, 3)]
    await wrote(ledger, endpoint, *events)
    order = []
    while found := await claimed(ledger, now, Room({}, each=2, total=64)):
        order += [delivery.event_id for delivery in found]
    in_time = sorted(events, key=lambda event: event.occurred_at)
    assert order == [event.event_id for event in in_time]


async def test_of_one_order_only_the_earliest_event_is_claimed(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    order, now = random_order_id(), time.time()
    late = a_webhook(order_id=order, decided_at=now - 1)
    early = a_webhook(order_id=order, decided_at=now - 2)
    await wrote(ledger, endpoint, late)
    await wrote(ledger, endpoint, early)
    [first] = await claimed(ledger)
    assert first.event_id == early.event_id
    assert await claimed(ledger) == [], "the earlier one is on its way"
    failed = an_attempt(first, FAILED, retry_at=now + 5)
    await ledger.webhook_queue.record([failed], now)
    assert await claimed(ledger, now + 1) == [], "the earlier one waits for its next attempt"
    [again] = await claimed(ledger, now + 6)
    assert (again.event_id, again.attempts) == (early.event_id, 1)
    await ledger.webhook_queue.record([an_attempt(again, started_at=now + 6)], now + 6)
    [second] = await claimed(ledger, now + 6)
    assert second.event_id == late.event_id


async def test_after_a_dead_event_of_an_order_the_next_one_goes_on(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    order, now = random_order_id(), time.time()
    early = a_webhook(order_id=order, decided_at=now - 2)
    late = a_webhook(order_id=order, decided_at=now - 1)
    await wrote(ledger, endpoint, early, late)
    [first] = await claimed(ledger)
    await ledger.webhook_queue.record([an_attempt(first, DEAD)], now)
    await ledger.webhooks.enable_endpoint(endpoint.id, ANN)
    [second] = await claimed(ledger, now + 1)
    assert second.event_id == late.event_id


async def test_the_order_is_kept_for_each_endpoint_alone(ledger: Ledger) -> None:
    one, other = await an_endpoint(ledger), await an_endpoint(ledger)
    order, now = random_order_id(), time.time()
    early = a_webhook(order_id=order, decided_at=now - 2)
    late = a_webhook(order_id=order, decided_at=now - 1)
    of_other = a_webhook(order_id=order, decided_at=now - 1)
    await wrote(ledger, one, early, late)
    await wrote(ledger, other, of_other)
    found = {delivery.endpoint_id: delivery.event_id for delivery in await claimed(ledger)}
    assert found == {one.id: early.event_id, other.id: of_other.event_id}


async def test_an_attempt_whose_lease_was_lost_changes_nothing_but_the_log(
    ledger: Ledger,
) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    now = time.time()
    [frozen] = await claimed(ledger, now)
    [taken] = await claimed(ledger, now + LEASE_SECONDS + 1)
    assert taken.id == frozen.id
    await ledger.webhook_queue.record([an_attempt(frozen, DEAD)], now)
    assert (await ledger.webhooks.find_endpoint(endpoint.id)).enabled
    [delivery] = await ledger.webhooks.deliveries(endpoint.id, 10)
    assert (delivery.attempts, delivery.dead_at) == (0, None)
    assert len(await ledger.webhooks.attempts(endpoint.id, 10)) == 1
    # But what has been delivered is delivered, whoever says so.
    await ledger.webhook_queue.record([an_attempt(frozen, DELIVERED)], now)
    assert await ledger.webhooks.deliveries(endpoint.id, 10) == []
    await ledger.webhook_queue.record([an_attempt(taken, DELIVERED)], now)


async def test_a_record_that_is_repeated_counts_a_failure_once(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    now = time.time()
    [delivery] = await claimed(ledger, now)
    failed = an_attempt(delivery, FAILED, retry_at=now + 5, started_at=now)
    for _ in range(3):
        await ledger.webhook_queue.record([failed], now + 1)
    assert (await ledger.webhooks.find_endpoint(endpoint.id)).failures == 1
    assert [d.attempts for d in await ledger.webhooks.deliveries(endpoint.id, 10)] == [1]


async def test_what_is_given_back_is_due_at_once(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    found = await claimed(ledger)
    await ledger.webhook_queue.give_back(found, time.time())
    [again] = await claimed(ledger)
    assert (again.id, again.attempts) == (found[0].id, 0)


async def test_a_failing_endpoint_gets_one_at_a_time_in_all_processes(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, *(a_webhook() for _ in range(5)))
    now = time.time()
    [one] = await claimed(ledger, now, Room({}, each=1, total=64))
    failed = an_attempt(one, FAILED, started_at=now, retry_at=now + 5)
    await ledger.webhook_queue.record([failed], now)
    rounds = await asyncio.gather(*(claimed(ledger, now + 1) for _ in range(5)))
    assert sum(map(len, rounds)) == 1


async def test_an_endpoint_that_takes_nothing_for_a_day_is_disabled(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, *(a_webhook() for _ in range(2)))
    now = time.time()
    for at in (now, now + LONGEST_FAILING_SECONDS + 1):
        [delivery] = await claimed(ledger, at, Room({}, each=1, total=64))
        failed = an_attempt(delivery, FAILED, started_at=at, retry_at=at + 1e6)
        recorded = await ledger.webhook_queue.record([failed], at)
    assert recorded.disabled == [endpoint.id]
    reason = (await ledger.webhooks.find_endpoint(endpoint.id)).disabled_reason
    assert reason == "every attempt failed for more than a day"


async def test_claims_tell_when_the_next_delivery_is_due(ledger: Ledger) -> None:
    nothing = await ledger.webhook_queue.claim(time.time(), LEASE_SECONDS, Room({}, 8, 64))
    assert (nothing.deliveries, nothing.next_at, nothing.endpoints) == ([], None, 0)
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    now = time.time()
    [delivery] = await claimed(ledger, now)
    failed = an_attempt(delivery, FAILED, retry_at=now + 5, started_at=now)
    await ledger.webhook_queue.record([failed], now)
    claims = await ledger.webhook_queue.claim(now, LEASE_SECONDS, Room({}, 8, 64))
    assert (claims.deliveries, claims.endpoints) == ([], 1)
    assert claims.next_at == pytest.approx(now + 5)


async def test_a_test_event_is_sent_before_all_others_and_during_a_pause(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, *(a_webhook() for _ in range(3)))
    now = time.time()
    [one] = await claimed(ledger, now, Room({}, each=1, total=64))
    paused = an_attempt(one, FAILED, started_at=now, retry_at=now + 60, pause_until=now + 60)
    await ledger.webhook_queue.record([paused], now)
    assert await claimed(ledger, now + 1) == []
    webhook_id = await ledger.webhooks.send_test(endpoint.id, ANN)
    [test] = await claimed(ledger, now + 1)
    assert (test.webhook_id, test.type) == (webhook_id, "webhook.test")
    await ledger.webhook_queue.record([an_attempt(test, DEAD, error="answer 500")], now + 1)
    assert (await ledger.webhooks.find_endpoint(endpoint.id)).enabled
    newest = (await ledger.webhooks.attempts(endpoint.id, 1))[0]
    assert (newest.webhook_id, newest.result, newest.error) == (webhook_id, "dead", "answer 500")
    assert len(await ledger.webhooks.deliveries(endpoint.id, 10)) == 3, "nothing is left of it"


async def test_old_attempts_and_dead_deliveries_are_pruned(ledger: Ledger) -> None:
    endpoint, deleted = await an_endpoint(ledger), await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook(), a_webhook())
    now = time.time()
    dead, alive = await claimed(ledger)
    await ledger.webhook_queue.record(
        [an_attempt(dead, DEAD, started_at=now), an_attempt(alive, started_at=now + 100)], now
    )
    await ledger.webhooks.enable_endpoint(endpoint.id, ANN)
    await wrote(ledger, endpoint, a_webhook())
    await wrote(ledger, deleted, a_webhook())
    await ledger.webhooks.delete_endpoint(deleted.id, ANN)
    assert await ledger.webhook_queue.prune(now - 1) == 0
    assert await ledger.webhook_queue.prune(now + 50) == 2
    assert [a.at for a in await ledger.webhooks.attempts(endpoint.id, 10)] == [now + 100]
    assert [d.dead_at for d in await ledger.webhooks.deliveries(endpoint.id, 10)] == [None]
    [backlog] = await ledger.webhooks.backlogs()
    assert (backlog.pending, backlog.dead) == (1, 0)


async def test_lists_are_read_in_pages(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, *(a_webhook() for _ in range(5)))
    first = await ledger.webhooks.deliveries(endpoint.id, 3)
    rest = await ledger.webhooks.deliveries(endpoint.id, 3, first[-1].id)
    assert [len(first), len(rest)] == [3, 2]
    await ledger.webhook_queue.record(
        [an_attempt(delivery) for delivery in await claimed(ledger)], time.time()
    )
    newest = await ledger.webhooks.attempts(endpoint.id, 3)
    older = await ledger.webhooks.attempts(endpoint.id, 3, newest[-1].id)
    ids = [entry.id for entry in (*newest, *older)]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 5


@pytest.mark.parametrize("error", ["a\0b", "\ud800", "x" * 10_000])
async def test_any_error_can_be_recorded(ledger: Ledger, error: str) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    [delivery] = await claimed(ledger)
    failed = an_attempt(delivery, FAILED, retry_at=time.time(), error=error)
    await ledger.webhook_queue.record([failed], time.time())
    [entry] = await ledger.webhooks.attempts(endpoint.id, 1)
    assert entry.error is not None
    assert 1 <= len(entry.error) <= 200


async def test_a_range_that_is_empty_is_refused(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    for since, until in ((2.0, 1.0), (1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(ChangeRefused, match="until"):
            await ledger.webhooks.replay(endpoint.id, since, until, ANN)
