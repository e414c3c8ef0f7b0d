"""`GET /healthz`: is the process alive? `GET /readyz`: should it get requests?"""

import msgspec
from aiohttp import web

from gateway.context import CONTEXT
from gateway.http.json_response import JsonResponse
from gateway.http.problems import Problem
from gateway.openapi.operation import Answer, Operation

_encode = msgspec.json.Encoder().encode


class HealthView(msgspec.Struct):
    """That the process is `alive`, or that the gateway is `ready`."""

    status: str


_ALIVE = _encode(HealthView("alive"))
_READY = _encode(HealthView("ready"))


async def healthz(_: web.Request) -> JsonResponse:
    """Answer as long as the event loop turns."""
    return JsonResponse(_ALIVE)


async def readyz(request: web.Request) -> JsonResponse:
    """Answer 200 if orders can be taken and looked up, else 503 with the reasons."""
    context = request.app[CONTEXT]
    troubles = {}
    if context.lifecycle.stopping:
        troubles["process"] = "shutting down"
    if broker := context.broker.trouble:
        troubles["broker"] = broker
    if not context.announcements.began:
        # Clients would get a 404 for orders that other gateways take now.
        troubles["announcements"] = "not heard yet"
    for task, trouble in context.background.troubles().items():
        troubles[task] = trouble
    identity = context.identity
    if identity and identity.callers and identity.key_set and identity.key_set.missing:
        troubles["keys of tokens"] = identity.key_set.trouble or "none"
    if context.sales.stale:
        troubles["database"] = context.sales.trouble or "no answer"
    if troubles:
        detail = "; ".join(f"{part}: {trouble}" for part, trouble in troubles.items())
        raise Problem("not-ready", detail, checks=troubles, retry_after=1)
    return JsonResponse(_READY)


ROUTES = [web.get("/healthz", healthz), web.get("/readyz", readyz)]

OPERATIONS = {
    "GET /healthz": Operation(
        "getHealth", "Is the process alive?", {200: Answer("It is.", (HealthView,))}
    ),
    "GET /readyz": Operation(
        "getReadiness",
        "Should the gateway get requests?",
        {200: Answer("Orders can be taken and looked up.", (HealthView,))},
        ("not-ready",),
    ),
}
