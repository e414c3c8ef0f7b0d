"""Send letters by SMTP, over a few connections that stay open, at a limited rate."""

import asyncio
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.builtin.mail.answers import Doubts, InDoubt
from services.builtin.mail.connections import Connections
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
        self._connections = Connections(self._connected, connections)
        self._doubts = Doubts()
        self._seconds_between = 1 / rate if rate else 0.0
        self._next_at = 0.0

    async def send(self, letter: Letter) -> None:
        """Send a letter. Raises `GiveUp`, `Later`, `Unavailable` or `OutcomeUnknown`."""
        await self._wait_for_turn()
        try:
            while not await self._sent(letter):
                pass
        except InDoubt as doubt:
            raise self._doubts.judge(letter.event_id, doubt) from doubt
        self._doubts.took(letter.event_id)

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _wait_for_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_at)
        self._next_at = turn + self._seconds_between
        await asyncio.sleep(turn - now)

    async def _sent(self, letter: Letter) -> bool:
        """Send a letter over the next connection; return False if that was closed meanwhile."""
        client, is_new = await self._connections.take()
        try:
            await transmit(client, letter)
        except ConnectionGone as error:
            # Servers end connections that were idle, or that sent many letters.
            if is_new:
                raise Unavailable(f"the mail server: {error}") from error
            return False
        except asyncio.CancelledError:
            client.close()
            raise
        finally:
            self._connections.put_back(client)
        return True

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
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # A wrong password, too, or a certificate: it is no fault of a letter.
            client.close()
            raise Unavailable(f"the mail server: {error}") from error
        return client
