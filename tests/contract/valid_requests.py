"""For schemathesis: sign payments; and check that a valid request is no invalid order."""

import json
import time
from collections.abc import Collection
from typing import Any

import requests
import schemathesis
from schemathesis.generation import GenerationMode

from flashsale.messages.standard_webhooks import ID, SIGNATURE, parse_secret, signed_headers

CIRCUMSTANCES = {
    *("/problems/key-reused", "/problems/invalid-change", "/problems/wrong-amount"),
}
"""The key came with another request; or a rule between fields or about times is broken."""

PAYMENT_SECRET = "whsec_" + "c2VjcmV0" * 5


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: "schemathesis.Case[Any]", kwargs: dict[str, Any]
) -> None:
    """Sign a payment that comes with a signature of any kind, as nobody can guess one."""
    headers: Collection[str] = case.headers or ()
    if case.path == "/payments" and SIGNATURE in headers and ID in headers:
        kwargs["auth"] = _sign


def _sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
    sent = request.body.encode() if isinstance(request.body, str) else request.body or b""
    assert isinstance(sent, bytes)
    name = str(request.headers[ID])
    request.headers.update(
        signed_headers([parse_secret(PAYMENT_SECRET)], name, int(time.time()), sent)
    )
    return request


@schemathesis.check
def valid_requests_are_no_invalid_orders(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: "schemathesis.Case[Any]"
) -> None:
    """Fail if a request that the description allows is refused as one that is malformed."""
    is_valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_valid and response.status_code == 422:
        kind = json.loads(response.content)["type"]
        assert kind in CIRCUMSTANCES, f"a valid request is refused as {kind}"
