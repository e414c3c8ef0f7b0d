"""Where letters go: to a mail server by SMTP, or to a folder."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.mail.letters import Letter
from services.service import GiveUp

_TIMEOUT_SECONDS = 15


class Post(ABC):
    """Takes letters."""

    @abstractmethod
    async def send(self, letter: Letter) -> None:
        """Send a letter. Raises `GiveUp` if it can never arrive, else whatever went wrong."""


class Folder(Post):
    """Writes each letter to a file of its own, `<event id>.eml`: twice is once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    async def send(self, letter: Letter) -> None:
        file = self._folder / f"{letter.event_id}.eml"
        unfinished = file.with_suffix(".tmp")
        unfinished.write_bytes(letter.content)
        os.replace(unfinished, file)


class MailServer(Post):
    """Sends by SMTP, over a few connections that stay open."""

    def __init__(self, url: str, connections: int) -> None:
        """`smtp://[user:password@]host[:port]`, or `smtps://...` for TLS from the start."""
        self._url = urlsplit(url)
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[aiosmtplib.SMTP] = []

    async def send(self, letter: Letter) -> None:
        async with self._slots:
            client = await self._connected()
            try:
                await client.sendmail(letter.sender, [letter.recipient], letter.content)
            except aiosmtplib.SMTPRecipientsRefused as error:
                self._idle.append(client)
                refusals = error.recipients
                if all(refusal.code >= 500 for refusal in refusals):
                    raise GiveUp(f"the mail server refuses it: {refusals[0].message}") from error
                raise
            except BaseException:
                client.close()
                raise
            self._idle.append(client)

    async def close(self) -> None:
        """Take leave of the server."""
        for client in self._idle:
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()

    async def _connected(self) -> aiosmtplib.SMTP:
        while self._idle:
            client = self._idle.pop()
            if client.is_connected:
                return client
        url, tls = self._url, self._url.scheme == "smtps"
        client = aiosmtplib.SMTP(
            hostname=url.hostname or "localhost",
            port=url.port or (465 if tls else 25),
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=tls,
            timeout=_TIMEOUT_SECONDS,
        )
        await client.connect()
        return client


@asynccontextmanager
async def open_post(smtp_url: str | None, connections: int, folder: str) -> AsyncIterator[Post]:
    """The mail server, if one is given, else the folder. Raises `OSError`."""
    if smtp_url is None:
        yield Folder(Path(folder))
        return
    server = MailServer(smtp_url, connections)
    try:
        yield server
    finally:
        await server.close()
