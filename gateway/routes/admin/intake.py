"""`/admin/intake`: whether orders are taken, and what shoppers are told if not."""

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from flashsale.domain.controls import Controls, IntakeChange
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import ENTITY_TAG, Answer, Operation
from gateway.openapi.parameters import IF_MATCH
from gateway.openapi.terms import Text
from gateway.routes.admin.access import operators, viewers
from gateway.routes.admin.changes import OF_BODIES, OF_VERSIONS, patch_of, read_change, seen_version
from gateway.routes.admin.controls import change_controls, controls_response, read_controls


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
    return _response(await read_controls(request))


async def patch_intake(request: web.Request) -> JsonResponse:
    """Change the controls of the intake. Every change is audited."""
    version = seen_version(request)
    wanted = await read_change(request, IntakePatch)
    change = IntakeChange(
        None if wanted.paused is UNSET else wanted.paused, wanted.notice, wanted.reason
    )
    controls = await change_controls(
        request, "intake.change", change.apply, reason=wanted.reason, version=version
    )
    return _response(controls)


def _response(controls: Controls) -> JsonResponse:
    view = IntakeView(
        controls.intake_paused, controls.notice, controls.intake_reason, controls.version
    )
    return controls_response(view, controls.version)


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
