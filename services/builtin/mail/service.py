"""Mail to the customer about everything that happens to an order.

SMTP has no transactions. A letter is sent, and then recorded as sent. After a crash in between it
is sent again, under the same Message-ID, so that the receiver can recognise the copy.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import get_args
from zoneinfo import ZoneInfo

import structlog
from msgspec import UNSET

from flashsale.ledger import Effects
from flashsale.messages.events import EventStatus, OrderEvent
from flashsale.runtime.setting_groups.payments import PaymentSettings
from flashsale.runtime.settings_reader import load
from services.builtin.latency import delayed
from services.builtin.mail.letters import Stationery
from services.builtin.mail.post import open_post
from services.builtin.mail.settings import MailSettings
from services.service import Handle, Retry, Service

log = structlog.get_logger()

_FILES = 2000
_DAY = 86_400


def is_over(event: OrderEvent, now: float) -> bool:
    """Return whether an event tells of a hold that has ended by Unix time `now`.

    A mail may wait for its server for days, and nobody should be asked to pay then.
    """
    return event.expires_at is not UNSET and event.expires_at <= now


@asynccontextmanager
async def open_mail(settings: MailSettings) -> AsyncIterator[Handle[OrderEvent]]:
    """Open the handler and its mail server or folder. Raises `OSError` and `SettingsError`."""
    pay_address = load(PaymentSettings).shop_pay_address
    stationery = Stationery(
        settings.mail_from, settings.mail_to, pay_address, ZoneInfo(settings.mail_timezone)
    )
    async with open_post(settings) as post:

        async def write(event: OrderEvent, effects: Effects) -> None:
            # No effects: the worker records that the event is done.
            if is_over(event, time.time()):
                log.info("mail about a hold that is over is not sent", order=event.order_id)
                return
            await post.send(stationery.letter(event))

        yield delayed(write, settings.mail_latency_ms)


def _concurrency(settings: MailSettings) -> int:
    # One mail for each connection: none waits for a connection while another process has one free.
    return settings.smtp_connections if settings.smtp_url is not None else _FILES


mail = Service(
    "mail",
    tuple(f"order.{status}.#" for status in get_args(EventStatus)),
    view=lambda event: event,
    opened=open_mail,
    concurrency=_concurrency,
    timeout_seconds=None,  # each step of SMTP has a limit of its own, and the last must not be cut
    patience_seconds=lambda settings: settings.mail_patience_days * _DAY,
    # A connection that breaks after a mail is sent leaves one possible double: one retry, not more.
    retry=Retry((1.0, 5.0, 30.0, 120.0, 600.0), retries=1),
    settings=MailSettings,
)
