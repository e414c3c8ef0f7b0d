"""Connections to a receiver, of which none has an answer in it before its request."""

import aiohttp
from aiohttp.client import ClientTimeout
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class CleanConnector(aiohttp.TCPConnector):
    """Closes an idle connection on which something has come.

    A server may send a 408 before it closes an idle connection, and a broken one a second answer.
    aiohttp takes that for the answer to the next request: an order would be taken that is not.
    """

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """Return an idle connection, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
