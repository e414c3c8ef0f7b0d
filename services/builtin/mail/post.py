"""Deliver letters to a mail server by SMTP, or to a folder."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.builtin.mail.letters import Letter
from services.service import GiveUp

_TIMEOUT_SECONDS = 15


class Post(ABC):
    """A way to deliver letters."""

    @abstractmethod
    async def send(self, letter: Letter) -> None:
        """Send a letter. Raises `GiveUp` if it can never arrive, else an error of this attempt."""


class Folder(Post):
    """Writes each letter to a file `<event id>.eml`. A second copy replaces the first.

    A thread writes many letters at a time, because creating a file takes longer than the rest of
    the work. A crash may leave a part of a file; the next attempt overwrites it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._waiting: list[tuple[Letter, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def send(self, letter: Letter) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((letter, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        await written

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            errors = await asyncio.to_thread(self._write, [letter for letter, _ in batch])
            for (_, written), error in zip(batch, errors, strict=True):
                if written.done():
                    continue  # the handler was cancelled
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)

    def _write(self, letters: Sequence[Letter]) -> list[OSError | None]:
        """Write the letters; return the error of each, or None."""
        errors: list[OSError | None] = []
        for letter in letters:
            try:
                (self._folder / f"{letter.event_id}.eml").write_bytes(letter.content)
                errors.append(None)
            except OSError as error:
                errors.append(error)
        return errors


class MailServer(Post):
    """Sends by SMTP, over a few connections that stay open."""

    def __init__(self, url: str, connections: int) -> None:
        """Send to `smtp://[user:password@]host[:port]`, or `smtps://...` for TLS from the start."""
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
        """Close the connections."""
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
    """Open the mail server, or the folder if `smtp_url` is None. Raises `OSError`."""
    if smtp_url is None:
        yield Folder(Path(folder))
        return
    server = MailServer(smtp_url, connections)
    try:
        yield server
    finally:
        await server.close()
