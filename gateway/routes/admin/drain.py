"""`/admin/drain`: the pause and the rate of the drain."""

import time
from datetime import datetime

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from flashsale.domain.controls import Controls, DrainChange
from flashsale.domain.moments import moment_at
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer, Operation
from gateway.openapi.parameters import IF_MATCH
from gateway.openapi.terms import Moment, Rate, Text
from gateway.routes.admin.access import operators, viewers
from gateway.routes.admin.changes import (
    OF_BODIES,
    OF_VERSIONS,
    moment_of,
    patch_of,
    read_change,
    seen_version,
)
from gateway.routes.admin.controls import change_controls, controls_response, read_controls


class DrainPatch(msgspec.Struct, forbid_unknown_fields=True):
    """A change. `rate: null` goes back to the rate of the environment."""

    paused: bool | UnsetType = UNSET
    rate: Rate | UnsetType | None = UNSET
    for_seconds: float | None = None
    until: Moment | None = None
    reason: Text | None = None


class DrainView(msgspec.Struct):
    """What operators have set, and what it makes of the drain. Rates are in orders/s.

    `for_seconds` is how long the next change to end still holds. `rate_reason` tells why an
    adaptive rate is what it is.
    """

    paused: bool
    paused_until: datetime | None
    rate: int | None
    rate_until: datetime | None
    for_seconds: float | None
    reason: str | None
    effective_rate: int
    rate_cap: int
    rate_reason: str | None
    drained_per_second: float | None
    backlog: int
    version: int


async def get_drain(request: web.Request) -> JsonResponse:
    """Answer with the controls of the drain."""
    return _response(request.app[CONTEXT], await read_controls(request))


async def patch_drain(request: web.Request) -> JsonResponse:
    """Change the controls of the drain. Every change is audited."""
    context = request.app[CONTEXT]
    version = seen_version(request)
    wanted = await read_change(request, DrainPatch)
    change = DrainChange(
        paused=None if wanted.paused is UNSET else wanted.paused,
        rate=None if wanted.rate is UNSET else wanted.rate,
        own_rate=wanted.rate is None,
        for_seconds=wanted.for_seconds,
        until=None if wanted.until is None else moment_of("until", wanted.until),
        reason=wanted.reason,
    )
    smallest = context.settings.drain_batch or 1

    def apply(controls: Controls, now: float) -> Controls:
        return change.apply(controls, now, smallest)

    controls = await change_controls(
        request, "drain.change", apply, reason=wanted.reason, version=version
    )
    return _response(context, controls)


def _response(context: Context, controls: Controls) -> JsonResponse:
    speed = context.queue_position.drained_per_second(context.backlog.consumers)
    end = controls.next_end
    view = DrainView(
        paused=controls.paused,
        paused_until=moment_at(controls.paused_until),
        rate=controls.rate,
        rate_until=moment_at(controls.rate_until),
        for_seconds=None if end is None else round(max(0.0, end - time.time()), 3),
        reason=controls.drain_reason,
        effective_rate=0 if controls.paused else context.drain.drain_rate,
        rate_cap=context.drain.rate_cap,
        rate_reason=context.drain.rate_reason,
        drained_per_second=None if speed is None else round(speed, 1),
        backlog=context.backlog.ready,
        version=controls.version,
    )
    return controls_response(view, controls.version)


ROUTES = [
    web.get("/admin/drain", viewers(get_drain)),
    web.patch("/admin/drain", operators(patch_drain)),
]

_ANSWERS = {200: Answer("The controls.", (DrainView,), headers=ENTITY_TAG)}

OPERATIONS = {
    "GET /admin/drain": Operation(
        "getDrain",
        "Tell the controls of the drain",
        _ANSWERS,
        ("ledger-unavailable",),
        access="viewer",
    ),
    "PATCH /admin/drain": Operation(
        "patchDrain",
        "Pause the drain, or change its rate",
        _ANSWERS,
        (*OF_BODIES, *OF_VERSIONS, "ledger-unavailable"),
        parameters=(IF_MATCH,),
        body=patch_of(DrainPatch),
        access="operator",
    ),
}
