"""Mail to the customer about every order, confirmed or rejected.

SMTP has no transactions. A letter is sent, and then recorded as sent. After a crash in between it
is sent again, under the same Message-ID, so that the receiver can recognise the copy.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flashsale.ledger import Effects
from flashsale.messages.events import OrderEvent
from flashsale.runtime.settings import PREFIX, SettingsError
from services.builtin.latency import delayed
from services.builtin.mail.letters import Stationery
from services.builtin.mail.post import open_post
from services.builtin.mail.settings import MailSettings
from services.service import Handle, Service


@asynccontextmanager
async def open_mail(settings: MailSettings) -> AsyncIterator[Handle[OrderEvent]]:
    """Open the handler and its mail server or folder. Raises `SettingsError`, `OSError`."""
    try:
        stationery = Stationery(settings.mail_from, settings.mail_to)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}MAIL_FROM: {error}") from error
    async with open_post(
        settings.smtp_url, settings.smtp_connections, settings.mail_folder
    ) as post:

        async def write(event: OrderEvent, effects: Effects) -> None:
            # No effects: the worker records that the event is done.
            await post.send(stationery.letter(event))

        yield delayed(write, settings.mail_latency_ms)


mail = Service(
    "mail",
    ("order.confirmed.#", "order.rejected.#"),
    view=lambda event: event,
    opened=open_mail,
    concurrency=2000,
    settings=MailSettings,
)
