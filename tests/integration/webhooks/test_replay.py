"""A range of time is sent again, under the ids that its events had before."""

import json
import time
from collections.abc import Sequence

import pytest

from flashsale.domain.audit_entries import Author
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.orders import Order
from flashsale.domain.sales import Sale
from flashsale.domain.webhooks.deliveries import SERVICE, AttemptResult, webhook_id
from flashsale.ledger import Effects, Ledger, Unsent
from flashsale.ledger.sql.webhooks import replay
from flashsale.messages.events import OrderEvent
from flashsale.messages.webhook_events import order_webhook
from tests.conftest import an_order, draining
from tests.database import event_ids, execute
from tests.integration.webhooks.builders import ANN, an_attempt, an_endpoint, claimed

NOW = 1_700_000_000.0


async def sold(ledger: Ledger, count: int, at: float = NOW) -> list[Order]:
    """Decide so many orders at a Unix time; the first is confirmed, the others are sold out."""
    if not await ledger.sales():
        await ledger.create_sale(Sale("tv", stock=1))
    orders = [an_order(accepted_at=at - 1) for _ in range(count)]
    async with draining(ledger) as sink:
        await sink.sell(orders, at)
    return orders


async def test_a_range_is_sent_again_under_the_same_ids(ledger: Ledger, database_url: str) -> None:
    endpoint = await an_endpoint(ledger)
    before, inside = await sold(ledger, 1, NOW - 10), await sold(ledger, 2, NOW)
    await sold(ledger, 1, NOW + 10)
    done = await ledger.webhooks.replay(endpoint.id, NOW, NOW + 10, ANN)
    assert (done.deliveries, done.without_event, done.more_from) == (2, 0, None)
    known = await event_ids(database_url)
    found = await claimed(ledger)
    assert {one.webhook_id for one in found} == {
        webhook_id(known[order.id], endpoint.id) for order in inside
    }
    assert {json.loads(one.body)["data"]["order_id"] for one in found} == {
        order.id for order in inside
    }
    assert json.loads(found[0].body)["data"]["status"] == "rejected"
    assert before[0].id not in {one.order_id for one in found}
    entry = (await ledger.audit_log.entries(1))[0]
    assert (entry.action, entry.who, entry.target) == ("webhook.replay", "ann", endpoint.id)
    assert entry.after is not None
    assert entry.after["deliveries"] == 2


async def test_an_event_is_sent_again_with_the_same_body(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await sold(ledger, 2, NOW + 0.123456789)
    published: list[OrderEvent] = []

    async def publish(unsent: Sequence[Unsent]) -> Sequence[str]:
        published.extend(one.event for one in unsent)
        return [one.event.event_id for one in unsent]

    await ledger.outbox.relay(10, NOW + 1, publish)
    await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, ANN)
    first = {event.event_id: order_webhook(event).body for event in published}
    assert {one.event_id: one.body for one in await claimed(ledger)} == first
    assert len(first) == 2


async def test_only_what_an_endpoint_subscribes_to_is_sent_again(ledger: Ledger) -> None:
    confirmed = await an_endpoint(ledger, "https://a.example", "order.confirmed")
    nothing = await an_endpoint(ledger, "https://b.example", "endpoint.disabled")
    await sold(ledger, 3)
    assert (await ledger.webhooks.replay(confirmed.id, 0, NOW + 1, ANN)).deliveries == 1
    assert (await ledger.webhooks.replay(nothing.id, 0, NOW + 1, ANN)).deliveries == 0


async def test_an_event_that_left_the_outbox_is_known_if_the_service_has_seen_it(
    ledger: Ledger, database_url: str
) -> None:
    endpoint = await an_endpoint(ledger)
    seen, unseen = await sold(ledger, 2)
    ids = await event_ids(database_url)
    await ledger.effects.take_effect(SERVICE, [Effects(ids[seen.id], seen.id)])
    await execute(database_url, "DELETE FROM outbox")
    done = await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, ANN)
    assert (done.deliveries, done.without_event) == (1, 1)
    [found] = await claimed(ledger)
    assert found.webhook_id == webhook_id(ids[seen.id], endpoint.id)
    assert unseen.id != found.order_id


async def test_dead_deliveries_get_all_their_attempts_again(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await sold(ledger, 2)
    await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, ANN)
    dead, waiting = await claimed(ledger)
    now = time.time()
    await ledger.webhook_queue.record(
        [
            an_attempt(dead, AttemptResult.DEAD),
            an_attempt(waiting, AttemptResult.FAILED, retry_at=now + 300),
        ],
        now,
    )
    with pytest.raises(ChangeRefused, match="disabled"):
        await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, ANN)
    await ledger.webhooks.enable_endpoint(endpoint.id, ANN)
    done = await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, ANN)
    assert done.deliveries == 1, "the other one is pending already"
    again = await claimed(ledger, now + 10)
    assert {(one.webhook_id, one.attempts) for one in again} == {
        (dead.webhook_id, 0),
        (waiting.webhook_id, 0),
    }


async def test_a_long_range_takes_several_calls(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MOST_ORDERS", 4)
    endpoint = await an_endpoint(ledger)
    # The last moment has more orders than one call looks at.
    for count, at in ((2, NOW), (1, NOW + 1), (3, NOW + 2), (9, NOW + 3), (1, NOW + 4)):
        await sold(ledger, count, at)
    since: float | None = NOW
    made, calls = 0, 0
    while since is not None:
        done = await ledger.webhooks.replay(endpoint.id, since, NOW + 5, ANN)
        assert done.more_from is None or done.more_from > since
        made, calls, since = made + done.deliveries, calls + 1, done.more_from
    assert (made, calls) == (16, 4)
    [backlog] = await ledger.webhooks.backlogs()
    assert backlog.pending == 16


async def test_a_repeated_request_to_replay_returns_what_the_first_did(ledger: Ledger) -> None:
    keyed = Author("ann", "again", idempotency_key="k-1")
    endpoint = await an_endpoint(ledger)
    await sold(ledger, 2)
    first = await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, keyed)
    assert first == await ledger.webhooks.replay(endpoint.id, NOW, NOW + 1, keyed)
    assert first.deliveries == 2
    tested = await ledger.webhooks.send_test(endpoint.id, Author("ann", idempotency_key="k-2"))
    again = await ledger.webhooks.send_test(endpoint.id, Author("ann", idempotency_key="k-2"))
    assert tested == again


async def test_events_of_tests_are_in_no_range(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await ledger.webhooks.send_test(endpoint.id, ANN)
    assert (await ledger.webhooks.replay(endpoint.id, 0, 4e9, ANN)).deliveries == 0
