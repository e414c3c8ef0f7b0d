"""docs/webhooks.md and docs/http.md have the figures, commands and addresses of the code."""

import json
import re
from pathlib import Path

import pytest
from msgspec import convert

from flashsale.cli.webhook import webhook_app
from flashsale.domain.webhooks.deliveries import Claimed
from flashsale.domain.webhooks.endpoints import (
    LONGEST_OVERLAP_SECONDS,
    MOST_ENDPOINTS,
    SECRET_OVERLAP_SECONDS,
)
from flashsale.domain.webhooks.event_types import KNOWN, TEST
from flashsale.domain.webhooks.schedule import (
    FAILURES_BEFORE_PAUSE,
    LONGEST_FAILING_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    RETRY_SECONDS,
)
from flashsale.messages.events import OrderEvent
from flashsale.messages.standard_webhooks import TOLERANCE_SECONDS
from flashsale.messages.webhook_events import order_webhook
from flashsale.runtime.setting_groups.webhooks import WebhookSettings
from gateway.routes.admin.webhooks import OPERATIONS
from services.builtin.webhook.requests import CONSTANT_HEADERS, signed_request

DOCS = Path(__file__).parents[3] / "docs"
PAGE = " ".join((DOCS / "webhooks.md").read_text().split())
HTTP = (DOCS / "http.md").read_text()

DEFAULTS = {name: field.default for name, field in WebhookSettings.model_fields.items()}


def in_words(seconds: float) -> str:
    for size, unit in ((3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    raise AssertionError(seconds)


@pytest.mark.parametrize(
    ("claim", "true"),
    [
        (
            f"{', '.join(map(in_words, RETRY_SECONDS[:-1]))} and {in_words(RETRY_SECONDS[-1])}",
            True,
        ),
        ("After the eighth failure it is *dead*", len(RETRY_SECONDS) + 1 == 8),
        ("took nothing for 31 hours", round(LONGEST_FAILING_SECONDS / 3_600) == 31),
        ("After five failures without a success", FAILURES_BEFORE_PAUSE == 5),
        ("an hour at most", LONGEST_RETRY_AFTER_SECONDS == 3_600),
        ("more than five minutes away", TOLERANCE_SECONDS == 300),
        (f"at most {MOST_ENDPOINTS} endpoints", True),
        ("Both sign for a day", SECRET_OVERLAP_SECONDS == 86_400),
        ("30 days at most", LONGEST_OVERLAP_SECONDS == 30 * 86_400),
        (f"Answer within {DEFAULTS['webhook_timeout_seconds']:g} s", True),
        (f"sends {DEFAULTS['webhook_concurrency']} at a time", True),
        (f"{DEFAULTS['webhook_endpoint_concurrency']} of them to one endpoint", True),
        (f"`FLASHSALE_WEBHOOK_LOG_DAYS` ({DEFAULTS['webhook_log_days']:g})", True),
    ],
)
def test_the_page_has_the_figures_of_the_code(claim: str, true: bool) -> None:
    assert claim in PAGE
    assert true


def test_the_request_of_the_page_is_the_one_that_is_sent() -> None:
    shown = (
        (DOCS / "webhooks.md").read_text().partition("## What is sent")[2].partition("| type")[0]
    )
    lines = re.findall(r"^ {4}(.+)$", shown, re.M)
    given = dict(line.split(": ", 1) for line in lines if re.match(r"[\w-]+: ", line))
    body = "".join(line.strip() for line in lines if line.startswith(("{", " ")))
    event = convert(json.loads(body)["data"], OrderEvent)
    webhook = order_webhook(event, given["traceparent"])
    secret = re.search(r"whsec_[\w=]+", shown)
    assert secret is not None
    delivery = Claimed(
        id=1,
        claim="",
        endpoint_id=given["webhook-id"].partition("-")[2],
        url="",
        secrets=(secret[0],),
        event_id=webhook.event_id,
        type=webhook.type,
        order_id=webhook.order_id,
        occurred_at=webhook.occurred_at,
        body=webhook.body,
        traceparent=webhook.traceparent,
        attempts=0,
    )
    sent, headers = signed_request(delivery, float(given["webhook-timestamp"]))
    assert sent.decode() == body
    assert given == {"Host": "shop.example", **CONSTANT_HEADERS, **headers}


def test_the_page_names_every_type_of_event() -> None:
    assert {event_type for event_type in (*KNOWN, TEST) if f"`{event_type}`" not in PAGE} == set()


def test_the_page_names_every_command() -> None:
    commands = {command.name for command in webhook_app.registered_commands}
    table = PAGE.partition("## Manage endpoints")[2]
    named = set(re.findall(r"`(?:flashsale webhook )?(\w+) (?:ID|URL)", table))
    named |= set(re.findall(r"`flashsale webhook (\w+)`", table))
    assert named == commands


def test_the_reference_has_every_address() -> None:
    section = HTTP.partition("## Webhook endpoints, for operators")[2].partition("\n## ")[0]
    for operation in OPERATIONS:
        method, path = operation.replace("{endpoint_id}", "{id}").split(" ")
        last = path.rpartition("/")[2]
        assert f"`{method} {path}`" in section or f"`/{last}`" in section, operation
