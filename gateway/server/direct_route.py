"""Take the requests of one address past the router: most of what a spike brings is `POST /orders`.

The router resolves a URL, and builds the chain of middlewares, anew for each request. For one fixed
address both are known when the server starts.
"""

from collections.abc import Awaitable, Callable
from functools import partial, update_wrapper

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

RequestHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def direct_route(
    app: web.Application, method: str, path: str, routed: RequestHandler
) -> RequestHandler:
    """Return what handles all requests of `app`, those of one fixed address without the router.

    `routed` handles the others, and those that expect a `100 Continue`. The middlewares of the
    application and the handler of its route are the same either way. Raises `LookupError` if the
    application has no such route.
    """
    route = next(
        (
            route
            for route in app.router.routes()
            if route.method == method and route.resource and route.resource.canonical == path
        ),
        None,
    )
    if route is None:
        raise LookupError(f"there is no route {method} {path}")
    match = web.UrlMappingMatchInfo({}, route)
    match.add_app(app)
    match.freeze()
    handler: Handler = route.handler
    for middleware in reversed(app.middlewares):
        handler = update_wrapper(partial(middleware, handler=handler), handler)

    def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        if (
            request.method != method
            or request.rel_url.raw_path != path
            or hdrs.EXPECT in request.headers
        ):
            return routed(request)
        assert isinstance(request, web.Request)  # noqa: S101 an application makes no others
        request._match_info = match  # as `web.Application` does after its router
        return handler(request)

    return handle
