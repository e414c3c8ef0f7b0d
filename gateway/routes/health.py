"""`GET /healthz`: is the process alive? `GET /readyz`: should it get requests?"""

from aiohttp import web

from gateway.context import BACKGROUND, BROKER, CATALOGUE, HEARING, LIFECYCLE
from gateway.http.json_response import Answer
from gateway.http.problems import Problem


async def healthz(_: web.Request) -> Answer:
    """Answer as long as the event loop turns."""
    return Answer(b'{"status":"alive"}')


async def readyz(request: web.Request) -> Answer:
    """Answer 200 if orders can be taken and looked up, else 503 with what stands in the way."""
    app = request.app
    troubles = {}
    if app[LIFECYCLE].stopping:
        troubles["process"] = "shutting down"
    if broker := app[BROKER].trouble:
        troubles["broker"] = broker
    if not app[HEARING].began:
        # Its shoppers would get a 404 for orders that other gateways take now.
        troubles["announcements"] = "not heard yet"
    for task, trouble in app[BACKGROUND].troubles().items():
        troubles[task] = trouble
    if app[CATALOGUE].stale:
        troubles["database"] = app[CATALOGUE].trouble or "no answer"
    if troubles:
        detail = "; ".join(f"{part}: {trouble}" for part, trouble in troubles.items())
        raise Problem("not-ready", detail, checks=troubles, retry_after=1)
    return Answer(b'{"status":"ready"}')
