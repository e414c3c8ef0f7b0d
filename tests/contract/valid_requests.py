"""A check for schemathesis: of a valid request only its circumstances may be wrong."""

import json
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

CIRCUMSTANCES = {"/problems/key-reused", "/problems/invalid-change"}
"""The key came with another request; or a rule between fields or about times is broken."""


@schemathesis.check
def valid_requests_are_no_invalid_orders(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: "schemathesis.Case[Any]"
) -> None:
    """Fail if a request that the description allows is refused as one that is malformed."""
    is_valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_valid and response.status_code == 422:
        kind = json.loads(response.content)["type"]
        assert kind in CIRCUMSTANCES, f"a valid request is refused as {kind}"
