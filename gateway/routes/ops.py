"""`/ops`: the operator's page, for clients that know a token."""

import re

import msgspec
from aiohttp import web

from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation, Parameter, files
from gateway.pages import OPS_TYPES, ops_files
from gateway.routes.admin.access import ROLE, viewers
from gateway.state.ops_samples import OpsSample

_MOMENT = re.compile(r"[0-9]{1,12}\Z")
_encode = msgspec.json.Encoder().encode


class OpsView(msgspec.Struct):
    """Who looks, the limits in force, and the samples since the page asked last."""

    role: str
    drain_rate: int
    paused: bool
    backlog_limit: int
    fields: tuple[str, ...]
    samples: list[OpsSample]


async def get_samples(request: web.Request) -> web.StreamResponse:
    """Answer with the samples after `?after=`, in Unix seconds."""
    after = request.query.get("after", "0")
    if not _MOMENT.match(after):
        raise Problem("bad-request", "after is a moment in Unix seconds.")
    context = request.app[CONTEXT]
    view = OpsView(
        role=request[ROLE].name.lower(),
        drain_rate=context.drain.drain_rate,
        paused=context.drain.paused,
        backlog_limit=context.settings.queue_max_length,
        fields=OpsSample.__struct_fields__,
        samples=context.ops_samples.after(int(after)),
    )
    return JsonResponse(_encode(view))


ROUTES = [
    *(web.get(path, viewers(handler)) for path, handler in ops_files()),
    web.get("/ops/samples", viewers(get_samples)),
]

OPERATIONS = {
    **files(OPS_TYPES, "viewer"),
    "GET /ops/samples": Operation(
        "getSamples",
        "Tell what happened second by second",
        {200: Answer("The samples, the oldest first.", (OpsView,))},
        parameters=(
            Parameter(
                "after",
                "query",
                "Only samples after this moment, in Unix seconds.",
                {"type": "integer", "minimum": 0, "maximum": 10**12 - 1, "default": 0},
            ),
        ),
        access="viewer",
    ),
}
