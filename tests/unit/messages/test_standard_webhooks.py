"""Signatures by Standard Webhooks."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from flashsale.messages.standard_webhooks import (
    SecretError,
    SignatureRefused,
    parse_secret,
    signed_headers,
    verify,
)

_OLD, _NEW = (f"whsec_{base64.b64encode(bytes([n]) * 24).decode()}" for n in (1, 2))
_NOW = int(datetime.now(UTC).timestamp())


@given(body=st.binary(), message_id=st.uuids().map(lambda each: each.hex))
def test_the_reference_library_takes_what_was_signed_and_verify_takes_what_it_signs(
    body: bytes, message_id: str
) -> None:
    keys = [parse_secret(_OLD), parse_secret(_NEW)]
    now = datetime.now(UTC)  # the library knows no other time
    stamp = int(now.timestamp())
    text = f'"{body.hex()}"'
    headers = signed_headers(keys, message_id, stamp, text.encode())
    for secret in (_OLD, _NEW):
        Webhook(secret).verify(text, headers)
        theirs = {
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": Webhook(secret).sign(message_id, now, text),
        }
        assert verify(keys, theirs, text.encode(), stamp) == message_id


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-id": "other"}, "no signature"),
        ({"webhook-timestamp": str(_NOW - 1)}, "no signature"),
        ({"webhook-timestamp": str(_NOW - 301)}, "away from now"),
        ({"webhook-timestamp": str(_NOW + 301)}, "away from now"),
        ({"webhook-timestamp": "1e9"}, "whole Unix seconds"),
        ({"webhook-timestamp": "٣"}, "whole Unix seconds"),
        ({"webhook-signature": ""}, "no signature"),
        ({"webhook-signature": "v1,é v1a,xyz"}, "no signature"),
        ({"webhook-id": None}, "webhook-id is missing"),
        ({"webhook-signature": None}, "webhook-signature is missing"),
    ],
)
def test_a_message_that_was_changed_or_is_old_is_refused(
    change: dict[str, str | None], reason: str
) -> None:
    key = parse_secret(_OLD)
    headers = signed_headers([key], "an-id", _NOW, b"{}") | change
    with pytest.raises(SignatureRefused, match=reason):
        verify([key], {n: v for n, v in headers.items() if v is not None}, b"{}", _NOW)


def test_a_message_of_another_secret_is_refused() -> None:
    headers = signed_headers([parse_secret(_OLD)], "an-id", _NOW, b"{}")
    with pytest.raises(SignatureRefused):
        verify([parse_secret(_NEW)], headers, b"{}", _NOW)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "a-password", "whsec_###", "whsec_" + base64.b64encode(b"short").decode()],
)
def test_a_secret_that_is_none_is_refused_with_its_reason(secret: str) -> None:
    with pytest.raises(SecretError) as refused:
        parse_secret(secret)
    assert not secret or secret == "whsec_" or secret not in str(refused.value)
