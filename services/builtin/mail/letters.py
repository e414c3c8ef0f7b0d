"""The text of mails: one letter for a confirmed order, one for each reason of a rejection."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache, partial

from flashsale.domain.moments import moment_at
from flashsale.domain.order_states import Reason
from flashsale.messages.events import OrderEvent
from services.builtin.mail import addresses
from services.errors import GiveUp


@dataclass(frozen=True)
class Letter:
    """A mail that is ready to send: the addresses of the envelope, and headers with body."""

    event_id: str
    sender: str
    recipient: str
    content: bytes


@dataclass(frozen=True)
class _Words:
    subject: str
    title: str
    text: str
    colour: str


# {quantity}, {sku} and {remaining} are filled in for each order.
_CONFIRMED = _Words(
    "Your order is confirmed",
    "It's yours",
    "{quantity} x {sku} is reserved for you, and nobody else can get it any more.",
    "#1f7a4d",
)
_SOLD_OUT = _Words(
    "Sold out: your order could not be filled",
    "Sold out",
    "You were in line for {quantity} x {sku}, but the last item went to somebody ahead of you."
    " Nothing is charged.",
    "#9a3412",
)
_NOT_ENOUGH = _Words(
    "Not enough left: your order could not be filled",
    "Not enough left",
    "You ordered {quantity} x {sku}, but only {remaining} could still be had when it was your turn,"
    " so nothing was sold to you. A smaller order may have more luck while the sale lasts."
    " Nothing is charged.",
    "#9a3412",
)
_LIMIT = _Words(
    "Your order is over the limit for one customer",
    "Over the limit",
    "{quantity} x {sku} would be more than one customer may have in this sale. What you bought"
    " before is still yours. Nothing is charged for this order.",
    "#9a3412",
)
_NOT_SOLD = _Words(
    "Your order could not be filled",
    "Not sold",
    "{quantity} x {sku} could not be sold to you: the sale was not open when you ordered."
    " Nothing is charged.",
    "#9a3412",
)
_REJECTED = {
    Reason.SOLD_OUT: _SOLD_OUT,
    Reason.NOT_ENOUGH_LEFT: _NOT_ENOUGH,
    Reason.CUSTOMER_LIMIT: _LIMIT,
}

_BLANK = re.compile(r"\{(\w+)\}")


def _text(words: _Words) -> str:
    return f"{words.title}\n\n{words.text}\n\nOrder   {{order_id}}\n"


def _html(words: _Words) -> str:
    # Many mail programs support tables and inline styles only.
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
<p style="margin:0 0 24px">{words.text}</p>
<p style="margin:0;color:#57534e;font-size:13px">Order<br>
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
    def of(cls, sender: Address, words: _Words) -> "_Template":
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

    def __init__(self, sender: str, recipient: str) -> None:
        """Write from the address `sender` to `recipient`, an address with `{customer_id}` in it.

        Raises `ValueError` if `sender` is no address, or if `recipient` makes none.
        """
        self._from = addresses.sender(sender)
        self._directory = addresses.Directory(recipient)
        self._template = lru_cache(partial(_Template.of, self._from))

    def letter(self, event: OrderEvent) -> Letter:
        """Return the mail for an event, the same bytes for every copy of the event.

        Raises `GiveUp` if no mail address can be made of the customer id.
        """
        template = self._template(
            _CONFIRMED if event.status == "confirmed" else _words_of_rejection(event.reason)
        )
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
        rest = template.filled(
            {
                "order_id": event.order_id,
                "quantity": str(event.quantity),
                "remaining": str(event.remaining or "fewer"),
                "sku": event.sku,
            }
        )
        content = (headers + rest).encode("ascii")
        return Letter(event.event_id, self._from.addr_spec, to, content)


def _words_of_rejection(reason: str | None) -> _Words:
    return _REJECTED.get(Reason(reason), _NOT_SOLD) if reason in list(Reason) else _NOT_SOLD
