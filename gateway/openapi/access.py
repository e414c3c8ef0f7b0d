"""Who may use an operation, as the document shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flashsale.runtime.settings import Settings
from gateway.http.problems import ProblemKind
from gateway.openapi.operation import Access

SCHEMES: Mapping[str, Mapping[str, Any]] = {
    "shopperToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The shopper's token, whose `sub` is the customer (`FLASHSALE_AUTH=jwt`).",
    },
    "webhookSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "The signature of Standard Webhooks, by `FLASHSALE_PAYMENT_SECRET`.",
    },
    "operatorToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "`FLASHSALE_ADMIN_TOKEN`, or `FLASHSALE_VIEWER_TOKEN` to look only.",
    },
    "operatorPassword": {
        "type": "http",
        "scheme": "basic",
        "description": "For browsers: the token is the password of any user.",
    },
}
"""The security schemes by name."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The schemes, one of which a request needs, and the problems of one that may not."""

    schemes: tuple[str, ...] = ()
    problems: tuple[ProblemKind, ...] = ()


GUARDS: Mapping[Access, Guard] = {
    "public": Guard(),
    "shopper": Guard(("shopperToken",), ("token-required", "invalid-token", "keys-unavailable")),
    "provider": Guard(("webhookSignature",), ("bad-signature",)),
    "demonstration": Guard(),
    "viewer": Guard(("operatorToken", "operatorPassword"), ("unauthorized",)),
    "operator": Guard(
        ("operatorToken", "operatorPassword"), ("unauthorized", "forbidden", "cross-site")
    ),
}


def schemes_of(access: Access, settings: Settings) -> tuple[str, ...]:
    """Return the schemes, one of which a request needs with these settings."""
    if access == "shopper" and settings.auth == "none":
        return ()
    return GUARDS[access].schemes


def is_shown(access: Access, settings: Settings) -> bool:
    """Return whether such operations exist.

    Those of operators do only if there is a token, those of payment providers if there is a
    secret, and those that demonstrate payments if nobody pays with money.
    """
    if access == "demonstration":
        return settings.demonstrates_payments
    if access == "provider":
        return settings.payment_secret is not None
    has_token = settings.admin_token is not None or settings.viewer_token is not None
    return access in ("public", "shopper") or has_token
