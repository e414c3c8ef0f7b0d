"""Operators create, change and delete endpoints; every change is in the audit, no secret is."""

import asyncio
import json
from dataclasses import asdict, replace

import pytest

from flashsale.domain.audit_entries import Author
from flashsale.domain.operators.refusals import ChangeRefused
from flashsale.domain.webhooks.endpoints import MOST_ENDPOINTS, EndpointTerms
from flashsale.ledger import ChangedMeanwhile, EndpointUnknown, KeyTaken, Ledger
from flashsale.messages.standard_webhooks import parse_secret
from tests.integration.webhooks.builders import ANN, a_webhook, an_endpoint, claimed, wrote

TERMS = EndpointTerms("https://shop.example/hook", ("order.confirmed",), "the shop")
KEYED = Author("ann", "a test", idempotency_key="k-1")


async def test_a_created_endpoint_is_listed_with_its_terms(ledger: Ledger) -> None:
    created = await ledger.webhooks.create_endpoint(TERMS, ANN)
    [listed] = await ledger.webhooks.endpoints()
    assert listed == created.endpoint == await ledger.webhooks.find_endpoint(listed.id)
    assert (listed.url, listed.event_types, listed.description) == (
        TERMS.url,
        TERMS.event_types,
        TERMS.description,
    )
    assert (listed.enabled, listed.version, listed.failures) == (True, 1, 0)


async def test_a_secret_is_told_once_and_is_in_no_audit(ledger: Ledger) -> None:
    created = await ledger.webhooks.create_endpoint(TERMS, KEYED)
    assert created.secret is not None
    assert len(parse_secret(created.secret)) == 32
    again = await ledger.webhooks.create_endpoint(TERMS, KEYED)
    assert (again.endpoint, again.secret) == (created.endpoint, None)
    rotated = await ledger.webhooks.rotate_secret(created.endpoint.id, ANN)
    assert rotated.secret not in (None, created.secret)
    shown = json.dumps([asdict(entry) for entry in await ledger.audit_log.entries(10)])
    assert shown.count("webhook.") == 2
    assert "whsec_" not in shown
    assert len(await ledger.webhooks.endpoints()) == 1


async def test_a_request_that_comes_twice_at_once_makes_one_endpoint(ledger: Ledger) -> None:
    made = await asyncio.gather(*(ledger.webhooks.create_endpoint(TERMS, KEYED) for _ in range(4)))
    assert len({issued.endpoint.id for issued in made}) == 1
    assert sum(issued.secret is not None for issued in made) == 1


async def test_a_key_belongs_to_one_request(ledger: Ledger) -> None:
    await ledger.webhooks.create_endpoint(TERMS, KEYED)
    with pytest.raises(KeyTaken):
        await ledger.webhooks.create_endpoint(replace(TERMS, description="other"), KEYED)


async def test_there_are_no_more_endpoints_than_the_limit(ledger: Ledger) -> None:
    for _ in range(MOST_ENDPOINTS):
        await an_endpoint(ledger)
    with pytest.raises(ChangeRefused, match="there are 50 endpoints already"):
        await an_endpoint(ledger)


@pytest.mark.parametrize("types", [(), ("order.sold",), ("o*",), ("order.confirmed", "x")])
async def test_event_types_that_select_nothing_are_refused(
    ledger: Ledger, types: tuple[str, ...]
) -> None:
    with pytest.raises(ChangeRefused, match="event_types"):
        await ledger.webhooks.create_endpoint(replace(TERMS, event_types=types), ANN)
    assert await ledger.webhooks.endpoints() == []


async def test_a_change_applies_to_the_version_that_was_seen(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    changed = await ledger.webhooks.change_endpoint(endpoint.id, TERMS, ANN, version=1)
    assert (changed.version, changed.event_types) == (2, TERMS.event_types)
    with pytest.raises(ChangedMeanwhile):
        await ledger.webhooks.change_endpoint(endpoint.id, TERMS, ANN, version=1)
    assert (await ledger.webhooks.find_endpoint(endpoint.id)).version == 2


async def test_an_unknown_endpoint_has_an_error_of_its_own(ledger: Ledger) -> None:
    nobody = "0" * 32
    board = ledger.webhooks
    for call in (
        board.find_endpoint(nobody),
        board.change_endpoint(nobody, TERMS, ANN),
        board.enable_endpoint(nobody, ANN),
        board.disable_endpoint(nobody, ANN),
        board.rotate_secret(nobody, ANN),
        board.delete_endpoint(nobody, ANN),
        board.send_test(nobody, ANN),
        board.replay(nobody, 0.0, 1.0, ANN),
    ):
        with pytest.raises(EndpointUnknown):
            await call


async def test_a_disabled_endpoint_says_why_and_gets_nothing_new(ledger: Ledger) -> None:
    endpoint = await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    disabled = await ledger.webhooks.disable_endpoint(endpoint.id, Author("ann", "too slow"))
    assert (disabled.enabled, disabled.disabled_reason) == (False, "too slow")
    assert disabled.disabled_at is not None
    await wrote(ledger, endpoint, a_webhook())
    assert await claimed(ledger) == []
    [backlog] = await ledger.webhooks.backlogs()
    assert (backlog.pending, backlog.enabled) == (1, False)
    with pytest.raises(ChangeRefused, match="disabled"):
        await ledger.webhooks.send_test(endpoint.id, ANN)

    enabled = await ledger.webhooks.enable_endpoint(endpoint.id, ANN)
    assert (enabled.enabled, enabled.disabled_reason, enabled.disabled_at) == (True, None, None)
    assert len(await claimed(ledger)) == 1, "what waited is sent"


async def test_a_deleted_endpoint_takes_its_deliveries_along(ledger: Ledger) -> None:
    endpoint, other = await an_endpoint(ledger), await an_endpoint(ledger)
    await wrote(ledger, endpoint, a_webhook())
    await wrote(ledger, other, a_webhook())
    await ledger.webhooks.delete_endpoint(endpoint.id, ANN)
    assert [one.id for one in await ledger.webhooks.endpoints()] == [other.id]
    assert await ledger.webhooks.deliveries(endpoint.id, 10) == []
    assert len(await ledger.webhooks.deliveries(other.id, 10)) == 1


@pytest.mark.parametrize("overlap", [-1.0, 1e9, float("nan")])
async def test_a_rotation_overlaps_for_a_month_at_most(ledger: Ledger, overlap: float) -> None:
    endpoint = await an_endpoint(ledger)
    with pytest.raises(ChangeRefused, match="overlap_seconds"):
        await ledger.webhooks.rotate_secret(endpoint.id, ANN, overlap)


async def test_two_secrets_sign_while_one_is_rotated(ledger: Ledger) -> None:
    created = await ledger.webhooks.create_endpoint(TERMS, ANN)
    endpoint = created.endpoint
    rotated = await ledger.webhooks.rotate_secret(endpoint.id, ANN, 100.0)
    until = rotated.endpoint.previous_secret_until
    assert until is not None
    await wrote(ledger, endpoint, a_webhook(), a_webhook())
    both, one = await claimed(ledger, until - 1), await claimed(ledger, until + 60)
    assert both[0].secrets == (rotated.secret, created.secret)
    assert one[0].secrets == (rotated.secret,)
    third = await ledger.webhooks.rotate_secret(endpoint.id, ANN, 0.0)
    assert third.endpoint.previous_secret_until is None
