"""What `/admin/drain` and `/admin/intake` share: both show and change the controls of one drain."""

from collections.abc import Callable

import msgspec
from aiohttp import web

from flashsale.domain.controls import Controls
from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.routes.admin.access import author
from gateway.routes.admin.changes import change_problems, entity_tag

_encode = msgspec.json.Encoder().encode


async def read_controls(request: web.Request) -> Controls:
    """Return the controls as they are in the database. Raises `Problem`."""
    known = request.app[CONTEXT].controls
    with change_problems():
        await known.read()
    return known.current


async def change_controls(
    request: web.Request,
    action: str,
    change: Callable[[Controls, float], Controls],
    *,
    reason: str | None,
    version: int | None,
) -> Controls:
    """Return the controls after a change, which is audited. Raises `Problem`."""
    with change_problems():
        return await request.app[CONTEXT].control_changes.make(
            action, change, author(request, reason), version
        )


def controls_response(view: msgspec.Struct, version: int) -> JsonResponse:
    """Return the answer with controls, and their version as `ETag`."""
    return JsonResponse(_encode(view), headers=entity_tag(version))
