"""Mail to the customer about every order, confirmed or rejected.

SMTP has no transactions. A letter is sent, and then recorded as sent. After a crash in between it
is sent again, under the same Message-ID, so that the receiver can recognise the copy.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flashsale.ledger import Effects
from flashsale.messages.events import OrderEvent
from services.builtin.latency import delayed
from services.builtin.mail.letters import Stationery
from services.builtin.mail.post import open_post
from services.builtin.mail.settings import MailSettings
from services.service import Handle, Retry, Service

_FILES = 2000
_DAY = 86_400


@asynccontextmanager
async def open_mail(settings: MailSettings) -> AsyncIterator[Handle[OrderEvent]]:
    """Open the handler and its mail server or folder. Raises `OSError`."""
    stationery = Stationery(settings.mail_from, settings.mail_to)
    async with open_post(settings) as post:

        async def write(event: OrderEvent, effects: Effects) -> None:
            # No effects: the worker records that the event is done.
            await post.send(stationery.letter(event))

        yield delayed(write, settings.mail_latency_ms)


def _concurrency(settings: MailSettings) -> int:
    # One mail for each connection: none waits for a connection while another process has one free.
    return settings.smtp_connections if settings.smtp_url is not None else _FILES


mail = Service(
    "mail",
    ("order.confirmed.#", "order.rejected.#"),
    view=lambda event: event,
    opened=open_mail,
    concurrency=_concurrency,
    timeout_seconds=None,  # each step of SMTP has a limit of its own, and the last must not be cut
    patience_seconds=lambda settings: settings.mail_patience_days * _DAY,
    # A connection that breaks after a mail is sent leaves one possible double: one retry, not more.
    retry=Retry((1.0, 5.0, 30.0, 120.0, 600.0), retries=1),
    settings=MailSettings,
)
