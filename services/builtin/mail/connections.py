"""The connections to a mail server: a few that stay open, or fewer if it allows no more."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiosmtplib

from services.errors import Unavailable

_QUIT_SECONDS = 2.0
# A server that refused one more connection is asked for one again after this time.
_LIMITED_SECONDS = 60.0

Connect = Callable[[], Awaitable[aiosmtplib.SMTP]]


class Connections:
    """At most so many connections. A letter has one to itself, and then puts it back."""

    def __init__(self, connect: Connect, most: int) -> None:
        """`connect` opens a connection, or raises `Unavailable`."""
        self._connect = connect
        self._most = most
        self._idle: list[aiosmtplib.SMTP] = []
        self._connected = 0
        self._connecting = 0
        self._limit = most
        self._limited_until = 0.0
        self._freed = asyncio.Event()

    async def take(self) -> tuple[aiosmtplib.SMTP, bool]:
        """Return a connection, and whether it is new. Raises `Unavailable` if there is none.

        A server may limit the connections of a client: if it refuses one more, those that are open
        are used in turn.
        """
        while True:
            while self._idle:
                client = self._idle.pop()
                if client.is_connected:
                    return client, False
                self._connected -= 1
            if self._connected + self._connecting < self._allowed():
                new = await self._connected_or_refused()
                if new is not None:
                    return new, True
            else:
                self._freed.clear()
                await self._freed.wait()

    def put_back(self, client: aiosmtplib.SMTP) -> None:
        """Keep a connection for the next letter, unless it is closed."""
        if client.is_connected:
            self._idle.append(client)
        else:
            self._connected -= 1
        self._freed.set()

    async def close(self) -> None:
        """Close the connections that nobody uses, within two seconds."""
        await asyncio.gather(*(_quit(client) for client in self._idle))

    def _allowed(self) -> int:
        if asyncio.get_running_loop().time() >= self._limited_until:
            self._limit = self._most
        return self._limit

    async def _connected_or_refused(self) -> aiosmtplib.SMTP | None:
        self._connecting += 1
        try:
            client = await self._connect()
        except Unavailable:
            if not self._connected:
                raise
            self._limit = self._connected
            self._limited_until = asyncio.get_running_loop().time() + _LIMITED_SECONDS
            return None
        finally:
            self._connecting -= 1
            self._freed.set()
        self._connected += 1
        return client


async def _quit(client: aiosmtplib.SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        async with asyncio.timeout(_QUIT_SECONDS):
            await client.quit()
    client.close()
