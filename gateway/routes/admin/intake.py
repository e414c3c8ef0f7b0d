"""`/admin/intake`: whether orders are taken, and what shoppers are told if not."""

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from flashsale.domain.controls import IntakeChange
from gateway.context import CONTEXT, Context
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer, Operation
from gateway.openapi.parameters import IF_MATCH
from gateway.openapi.terms import Text
from gateway.routes.admin.access import author, operators, viewers
from gateway.routes.admin.changes import (
    OF_BODIES,
    OF_VERSIONS,
    change_problems,
    entity_tag,
    patch_of,
    read_change,
    seen_version,
)

_encode = msgspec.json.Encoder().encode


class IntakePatch(msgspec.Struct, forbid_unknown_fields=True):
    """A change. The notice is for shoppers, the reason for operators."""

    paused: bool | UnsetType = UNSET
    notice: Text | None = None
    reason: Text | None = None


class IntakeView(msgspec.Struct):
    """Whether the intake is paused, and the notice to shoppers."""

    paused: bool
    notice: str | None
    reason: str | None
    version: int


async def get_intake(request: web.Request) -> JsonResponse:
    """Answer with the controls of the intake."""
    context = request.app[CONTEXT]
    with change_problems():
        await context.controls.read()
    return _response(context)


async def patch_intake(request: web.Request) -> JsonResponse:
    """Change the controls of the intake. Every change is audited."""
    context = request.app[CONTEXT]
    version = seen_version(request)
    wanted = await read_change(request, IntakePatch)
    change = IntakeChange(
        None if wanted.paused is UNSET else wanted.paused, wanted.notice, wanted.reason
    )
    with change_problems():
        await context.controls.change(
            "intake.change", change.apply, author(request, wanted.reason), version
        )
    await context.announcements.announce_terms()
    return _response(context)


def _response(context: Context) -> JsonResponse:
    controls = context.controls.current
    view = IntakeView(
        controls.intake_paused, controls.notice, controls.intake_reason, controls.version
    )
    return JsonResponse(_encode(view), headers=entity_tag(controls.version))


ROUTES = [
    web.get("/admin/intake", viewers(get_intake)),
    web.patch("/admin/intake", operators(patch_intake)),
]

_ANSWERS = {200: Answer("The controls.", (IntakeView,), headers=ENTITY_TAG)}

OPERATIONS = {
    "GET /admin/intake": Operation(
        "getIntake",
        "Tell whether orders are taken",
        _ANSWERS,
        ("ledger-unavailable",),
        access="viewer",
    ),
    "PATCH /admin/intake": Operation(
        "patchIntake",
        "Pause the intake, or go on",
        _ANSWERS,
        (*OF_BODIES, *OF_VERSIONS, "ledger-unavailable"),
        parameters=(IF_MATCH,),
        body=patch_of(IntakePatch),
        access="operator",
    ),
}
