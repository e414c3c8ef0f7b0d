"""All connections of a gateway: their limits in time, and their end without a lost request."""

import asyncio
from typing import Any, cast

from aiohttp import web

from flashsale.observability.gateway_metrics import RequestCounts
from flashsale.observability.unreadable_requests import UnreadableRequests
from gateway.http.cors import Cors
from gateway.http.problems import Problem, large_head_problem
from gateway.http.unreadable import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_REQUEST_LINE_BYTES,
)
from gateway.limits.client_connections import ClientConnections
from gateway.limits.problems import connections_problem
from gateway.server.connection import Connection
from gateway.server.direct_route import DirectRoute
from gateway.server.lifecycle import Lifecycle

_SWEEP_SECONDS = 1.0
_CLOSE_SECONDS = 0.02
# A client that has just connected is about to send its first request.
_FIRST_REQUEST_SECONDS = 2.0


class Connections:
    """The open connections of a server. It is called to make the protocol of a new one."""

    def __init__(
        self,
        server: web.Server,
        lifecycle: Lifecycle,
        requests: RequestCounts,
        cors: Cors,
        *,
        of_clients: ClientConnections | None = None,
        direct: DirectRoute,
        keep_alive_seconds: float,
        header_seconds: float,
    ) -> None:
        """Close a connection that is idle for `keep_alive_seconds`.

        Close it as well if a request's head is not whole `header_seconds` after its first byte.
        """
        self._server = server
        self.lifecycle = lifecycle
        """Whether each answer from now on is the last one of its connection."""
        self._requests = requests
        self.cors = cors
        self.of_clients = of_clients
        """How many connections each client has, if that is limited."""
        self._header_seconds = header_seconds
        self._options: dict[str, Any] = {
            "direct": direct,
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": keep_alive_seconds,
            "max_line_size": MAX_REQUEST_LINE_BYTES,
            "max_field_size": MAX_HEADER_BYTES,
            "max_headers": MAX_HEADERS,
        }
        self._clock = asyncio.get_running_loop().time
        self._unreadable = UnreadableRequests()
        # The number of the request of which a part is here, and when its first byte came.
        self._parts: dict[Connection, tuple[int, float]] = {}

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self._server, self, **self._options)

    def part_came(self, connection: Connection) -> None:
        """Note that a part of a request's head is here, and nothing of a request before it."""
        known = self._parts.get(connection)
        if known is None or known[0] != connection.requests:
            self._parts[connection] = connection.requests, self._clock()

    def unreadable(self, reason: str, client: str | None) -> None:
        """Note a request that could not be read."""
        self._unreadable.add(reason, client, self._clock())

    def answered(self, method: str, status: int) -> None:
        """Count an answer that no route has given."""
        self._requests.answered(method, "none", status)

    async def watch(self) -> None:
        """Keep closing connections whose request takes too long.

        One look a second at the few of which a part is here costs less than a timer for each
        request.
        """
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._header_seconds))
            now = self._clock()
            for connection, (number, since) in list(self._parts.items()):
                if not connection.waits or connection.requests != number:
                    del self._parts[connection]
                elif now - since >= self._header_seconds:
                    del self._parts[connection]
                    self._refuse_slow(connection)
            self._unreadable.log_due(now)

    def refuse_large(self, connection: Connection) -> None:
        """Answer a request whose head is too large, though not all of it has come."""
        self._parts.pop(connection, None)
        self.unreadable("LargeHead", connection.peer)
        self.answered("other", 431)
        connection.refuse(large_head_problem())

    def refuse_one_more(self, connection: Connection, most: int) -> None:
        """Refuse a new connection of a client that has `most` open."""
        self.answered("other", 429)
        connection.refuse(connections_problem(most))

    def _refuse_slow(self, connection: Connection) -> None:
        self.unreadable("SlowHeaders", connection.peer)
        self.answered("other", 408)
        connection.refuse(
            Problem("slow-request", f"Send the headers within {self._header_seconds:g} s.")
        )

    async def close(self, seconds: float) -> None:
        """Close the idle connections, and the others after their answers.

        Wait for those for at most `seconds`. No new connection may come any more.
        """
        began = self._clock()
        while (passed := self._clock() - began) < seconds:
            await asyncio.sleep(_CLOSE_SECONDS)
            # aiohttp still has one whose client is gone while its task waits for the lost body.
            connections = [each for each in self._open() if each.connected]
            if not connections:
                return
            for connection in connections:
                about_to_send = not connection.requests and passed < _FIRST_REQUEST_SECONDS
                if connection.waits and not about_to_send and not self._has_part(connection):
                    connection.force_close()

    def _open(self) -> list[Connection]:
        return cast("list[Connection]", self._server.connections)  # `__call__` makes them all

    def _has_part(self, connection: Connection) -> bool:
        known = self._parts.get(connection)
        return (known is not None and known[0] == connection.requests) or connection.unread
