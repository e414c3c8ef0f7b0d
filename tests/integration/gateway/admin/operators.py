"""Operators and viewers of a gateway, and how they send a change."""

from typing import Any

from pydantic import SecretStr

from tests.integration.gateway.embedded_gateway import Answer, EmbeddedGateway

TOKENS = {"admin_token": SecretStr("an operator"), "viewer_token": SecretStr("a viewer")}
OPERATOR = {"Authorization": "Bearer an operator"}
VIEWER = {"Authorization": "Bearer a viewer"}


async def get(gateway: EmbeddedGateway, path: str) -> Answer:
    """Look at something, as a viewer."""
    return await gateway.call("GET", f"/admin/{path}", headers=VIEWER)


async def patch(gateway: EmbeddedGateway, path: str, seen: str = "*", **changes: Any) -> Answer:
    """Change what has the version `seen`."""
    headers = OPERATOR | {"If-Match": seen}
    return await gateway.call("PATCH", f"/admin/{path}", json=changes, headers=headers)


async def post(gateway: EmbeddedGateway, path: str, key: str | None = None, **body: Any) -> Answer:
    """Post a body, under a key if there is one."""
    headers = OPERATOR if key is None else OPERATOR | {"Idempotency-Key": key}
    return await gateway.call("POST", f"/admin/{path}", json=body, headers=headers)


async def delete(gateway: EmbeddedGateway, path: str, seen: str = "*") -> Answer:
    """Delete what has the version `seen`."""
    headers = OPERATOR | {"If-Match": seen}
    return await gateway.call("DELETE", f"/admin/{path}", headers=headers)
