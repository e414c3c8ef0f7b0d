"""The letters to customers: their headers, and a text and an HTML part with the same words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache, partial
from html import escape

from msgspec import UNSET

from flashsale.domain.holds.pay_address import PayAddress
from flashsale.domain.moments import moment_at
from flashsale.messages.events import OrderEvent
from services.builtin.mail import addresses
from services.builtin.mail.words import Words, money_of, words_for
from services.errors import GiveUp


@dataclass(frozen=True)
class Letter:
    """A mail that is ready to send: the addresses of the envelope, and headers with body."""

    event_id: str
    sender: str
    recipient: str
    content: bytes


_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)

_BLANK = re.compile(r"\{(\w+)\}")


# An address of a payment page is a line of its own, which may have 998 characters (RFC 5322).
_LONGEST_LINK = 900


def _text(words: Words) -> str:
    link = f"{words.link}: {{pay_url}}\n\n" if words.link else ""
    return f"{words.title}\n\n{words.text}\n\n{link}Order   {{order_id}}\n"


def _html(words: Words) -> str:
    # Many mail programs support tables and inline styles only.
    link = ""
    if words.link:
        link = f"""\
<p style="margin:0 0 24px"><a
 href="{{pay_url_html}}"
 style="display:inline-block;background:{words.colour};border-radius:6px;color:#ffffff;padding:12px
 24px;text-decoration:none">{words.link}</a></p>
"""
    text = words.text.replace("{payment_id}", "{payment_id_html}")
    return f"""\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{words.subject}</title></head>
<body style="margin:0;background:#f4f4f2;font-family:system-ui,Helvetica,Arial,sans-serif">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center"
 style="padding:32px 16px">
<table role="presentation" width="480" cellpadding="0" cellspacing="0"
 style="max-width:480px;background:#ffffff;border-radius:8px">
<tr><td style="background:{words.colour};border-radius:8px 8px 0 0;padding:24px 32px">
<h1 style="margin:0;color:#ffffff;font-size:26px">{words.title}</h1></td></tr>
<tr><td style="padding:24px 32px;color:#1c1917;font-size:16px;line-height:1.5">
<p style="margin:0 0 24px">{text}</p>
{link}<p style="margin:0;color:#57534e;font-size:13px">Order<br>
<code style="font-size:14px;color:#1c1917">{{order_id}}</code></p>
</td></tr></table></td></tr></table>
</body>
</html>
"""


@dataclass(frozen=True)
class _Template:
    """A letter without the values of an order: its fixed headers, and its body between blanks."""

    headers: str
    body: tuple[str, ...]
    """Text and names of blanks by turns. No value is searched for blanks when it is filled in."""

    @classmethod
    def of(cls, sender: Address, words: Words) -> "_Template":
        # The email package takes almost a millisecond for a letter, so it writes each template
        # once.
        message = EmailMessage(policy=SMTP)
        message["From"] = sender
        message["Subject"] = words.subject
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_text(words), cte="7bit")
        message.add_alternative(_html(words), subtype="html", cte="7bit")
        message.set_boundary("=_flashsale")  # a random boundary would make each copy differ
        headers, end, body = message.as_bytes().decode("ascii").partition("\r\n\r\n")
        return cls(headers + end, tuple(_BLANK.split(body)))

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the letter with these values in its blanks."""
        body = list(self.body)
        body[1::2] = [values[name] for name in body[1::2]]
        return self.headers + "".join(body)


class Stationery:
    """Writes the letters of one shop."""

    def __init__(
        self,
        sender: str,
        recipient: str,
        pay_address: PayAddress | None = None,
        zone: tzinfo = UTC,
    ) -> None:
        """Write from the address `sender` to `recipient`, an address with `{customer_id}` in it.

        `pay_address` is where shoppers pay, `zone` the time zone of the times in letters. Raises
        `ValueError` if `sender` is no address, or if `recipient` makes none.
        """
        self._from = addresses.sender(sender)
        self._directory = addresses.Directory(recipient)
        self._template = lru_cache(partial(_Template.of, self._from))
        self._pay_address = pay_address
        self._zone = zone

    def letter(self, event: OrderEvent) -> Letter:
        """Return the mail for an event, the same bytes for every copy of the event.

        Raises `GiveUp` if no mail address can be made of the customer id.
        """
        pay_url = self._pay_url(event)
        template = self._template(words_for(event, linked=pay_url is not None))
        try:
            to = self._directory.address(event.customer_id)
        except ValueError as error:
            raise GiveUp("no mail address can be made of the customer id") from error
        # These values are ASCII without line ends, by the message contract.
        headers = (
            f"Date: {format_datetime(moment_at(event.decided_at))}\r\n"
            f"Message-ID: <{event.event_id}@{self._from.domain}>\r\n"
            f"To: {to}\r\n"
        )
        payment_id = event.payment_id or ""
        rest = template.filled(
            {
                "order_id": event.order_id,
                "quantity": str(event.quantity),
                "remaining": str(event.remaining or "fewer"),
                "sku": event.sku,
                "until": self._until(event),
                "pay_url": pay_url or "",
                "pay_url_html": escape(pay_url or ""),
                "payment_id": payment_id,
                "payment_id_html": escape(payment_id),
                "money": money_of(event),
            }
        )
        content = (headers + rest).encode("ascii")
        return Letter(event.event_id, self._from.addr_spec, to, content)

    def _pay_url(self, event: OrderEvent) -> str | None:
        """Return where a held order is paid for, None if a mail can't name it."""
        if self._pay_address is None or event.status != "held":
            return None
        url = self._pay_address.of(event.order_id, event.sku, event.quantity)
        # A path of the site of the gateway means nothing in a mail.
        return None if url.startswith("/") or len(escape(url)) > _LONGEST_LINK else url

    def _until(self, event: OrderEvent) -> str:
        """Return the end of a hold for people: its last whole minute."""
        if event.expires_at is UNSET:
            return ""
        moment = moment_at(event.expires_at).astimezone(self._zone)
        zone = moment.tzname() or ""
        # Some zones have no letters, only numbers such as +03.
        zone = zone if zone.isalpha() and zone.isascii() else f"UTC{moment:%z}"
        month = _MONTHS[moment.month - 1]
        return f"{moment:%H:%M} {zone} on {moment.day} {month} {moment.year}"
