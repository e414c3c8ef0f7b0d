"""Send letters by SMTP, over a few connections that stay open, at a limited rate."""

import asyncio
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.builtin.mail.letters import Letter
from services.builtin.mail.transaction import COMMAND_SECONDS, ConnectionGone, transmit
from services.errors import Unavailable


class MailServer:
    """A mail server and the connections to it."""

    def __init__(self, url: str, connections: int, rate: float | None = None) -> None:
        """Send to `smtp://[user:password@]host[:port]`, or `smtps://...` for TLS from the start.

        `rate` is the most letters a second, None for no limit.
        """
        self._url = urlsplit(url)
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[aiosmtplib.SMTP] = []
        self._seconds_between = 1 / rate if rate else 0.0
        self._next_at = 0.0

    async def send(self, letter: Letter) -> None:
        """Send a letter. Raises `GiveUp`, `Later`, `Unavailable` or `OutcomeUnknown`."""
        async with self._slots:
            await self._wait_for_turn()
            while self._idle:
                client = self._idle.pop()
                if client.is_connected:
                    # Servers end connections that were idle, or that sent many letters.
                    with suppress(ConnectionGone):
                        return await self._transmit(client, letter)
            try:
                await self._transmit(await self._connected(), letter)
            except ConnectionGone as error:
                raise Unavailable(f"the mail server: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        for client in self._idle:
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()

    async def _wait_for_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_at)
        self._next_at = turn + self._seconds_between
        await asyncio.sleep(turn - now)

    async def _transmit(self, client: aiosmtplib.SMTP, letter: Letter) -> None:
        try:
            await transmit(client, letter)
        except asyncio.CancelledError:
            client.close()
            raise
        finally:
            if client.is_connected:
                self._idle.append(client)

    async def _connected(self) -> aiosmtplib.SMTP:
        url, tls = self._url, self._url.scheme == "smtps"
        client = aiosmtplib.SMTP(
            hostname=url.hostname or "localhost",
            port=url.port or (465 if tls else 25),
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=tls,
            timeout=COMMAND_SECONDS,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            # A wrong password, too: it is no fault of a letter.
            raise Unavailable(f"the mail server: {error}") from error
        return client
