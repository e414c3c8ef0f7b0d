"""`POST /admin/orders/{id}/cancel`: an operator cancels an order, whoever's it is."""

from aiohttp import web

from flashsale.domain.operators.refusals import require_text
from gateway.context import CONTEXT
from gateway.http.idempotency_key import idempotency_key
from gateway.http.json_response import JsonResponse
from gateway.openapi.operation import Body, Operation
from gateway.openapi.parameters import IDEMPOTENCY_KEY
from gateway.routes.admin.access import author, operators
from gateway.routes.admin.changes import OF_BODIES, change_problems
from gateway.routes.admin.sale_actions import Action, reason_of
from gateway.routes.holds.cancellations import CANCELLED, PROBLEMS, cancelled_order
from gateway.routes.order_status import find_known_order


async def post_cancel(request: web.Request) -> JsonResponse:
    """Cancel the order that the path names. The audit is written in the same transaction."""
    context = request.app[CONTEXT]
    who = author(request, await reason_of(request), idempotency_key(request))
    with change_problems():
        require_text("reason", who.reason)
    order = await find_known_order(context, request.match_info["order_id"])
    with change_problems():
        return await cancelled_order(context, order, None, who)


ROUTES = [web.post("/admin/orders/{order_id}/cancel", operators(post_cancel))]

OPERATIONS = {
    "POST /admin/orders/{order_id}/cancel": Operation(
        "cancelAnyOrder",
        "Cancel an order for its customer",
        {200: CANCELLED},
        (*OF_BODIES, *PROBLEMS, "bad-idempotency-key", "key-reused"),
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(Action, required=False),
        access="operator",
    )
}
