"""The way that letters take: to a mail server, or to a folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from services.builtin.mail.folder import Folder
from services.builtin.mail.letters import Letter
from services.builtin.mail.mail_server import MailServer
from services.builtin.mail.settings import MailSettings


class Post(Protocol):
    """A way to deliver letters."""

    async def send(self, letter: Letter) -> None:
        """Send a letter. Raises an error of `services.errors` if it is not known to be sent."""


@asynccontextmanager
async def open_post(settings: MailSettings) -> AsyncIterator[Post]:
    """Open the mail server, or the folder if no server is set. Raises `OSError`."""
    if settings.smtp_url is None:
        yield Folder(Path(settings.mail_folder))
        return
    server = MailServer(settings.smtp_url, settings.smtp_connections, settings.smtp_rate)
    try:
        yield server
    finally:
        await server.close()
