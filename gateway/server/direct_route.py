"""The one hot address, past the router: most of what a spike brings is `POST /orders`.

The router resolves a URL, and builds the chain of middlewares, anew for each request. For one fixed
address both are known when the server starts.
"""

from collections.abc import Awaitable, Callable
from functools import partial, update_wrapper

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from aiohttp.typedefs import Handler

RequestHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class DirectRoute:
    """A route of an application with a fixed address.

    The middlewares of the application and the handler of the route are those that aiohttp's router
    would find.
    """

    def __init__(self, app: web.Application, method: str, path: str, prefix: str = "") -> None:
        """Find the route; its address may have a prefix that the application does not know.

        Raises `LookupError` if the application has no such route.
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
        self._method = method
        self._path = path
        self._paths = frozenset((path, prefix + path))
        self._match = web.UrlMappingMatchInfo({}, route)
        self._match.add_app(app)
        self._match.freeze()
        handler: Handler = route.handler
        for middleware in reversed(app.middlewares):
            handler = update_wrapper(partial(middleware, handler=handler), handler)
        self._handler = handler

    def takes(self, message: RawRequestMessage) -> bool:
        """Return whether a request is for this route, and expects no `100 Continue`."""
        return (
            message.path in self._paths
            and message.method == self._method
            and hdrs.EXPECT not in message.headers
        )

    def handle(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """Answer a request that the route takes."""
        assert isinstance(request, web.Request)  # noqa: S101 an application makes no others
        request._match_info = self._match  # as `web.Application` does after its router
        return self._handler(request)

    def before(self, routed: RequestHandler) -> RequestHandler:
        """Return what handles all requests: those of the route directly, the others by `routed`."""

        def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            takes = (
                request.method == self._method
                and request.rel_url.raw_path == self._path
                and hdrs.EXPECT not in request.headers
            )
            return self.handle(request) if takes else routed(request)

        return handle
