"""The text of mails: one letter for a confirmed order, one for each reason of a rejection."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from flashsale.domain.order_states import Reason
from flashsale.messages.events import OrderEvent
from services.service import GiveUp


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


# QUANTITY, SKU and REMAINING are replaced by those of the event.
_CONFIRMED = _Words(
    "Your order is confirmed",
    "It's yours",
    "QUANTITY x SKU is reserved for you, and nobody else can get it any more.",
    "#1f7a4d",
)
_SOLD_OUT = _Words(
    "Sold out: your order could not be filled",
    "Sold out",
    "You were in line for QUANTITY x SKU, but the last item went to somebody ahead of you."
    " Nothing is charged.",
    "#9a3412",
)
_NOT_ENOUGH = _Words(
    "Not enough left: your order could not be filled",
    "Not enough left",
    "You ordered QUANTITY x SKU, but only REMAINING could still be had when it was your turn, so"
    " nothing was sold to you. A smaller order may have more luck while the sale lasts."
    " Nothing is charged.",
    "#9a3412",
)
_LIMIT = _Words(
    "Your order is over the limit for one customer",
    "Over the limit",
    "QUANTITY x SKU would be more than one customer may have in this sale. What you bought before"
    " is still yours. Nothing is charged for this order.",
    "#9a3412",
)
_NOT_SOLD = _Words(
    "Your order could not be filled",
    "Not sold",
    "QUANTITY x SKU could not be sold to you: the sale was not open when you ordered."
    " Nothing is charged.",
    "#9a3412",
)
_REJECTED = {
    Reason.SOLD_OUT: _SOLD_OUT,
    Reason.NOT_ENOUGH_LEFT: _NOT_ENOUGH,
    Reason.CUSTOMER_LIMIT: _LIMIT,
}

_DATE = format_datetime(datetime(2000, 1, 1, tzinfo=UTC))  # replaced by the date of the event

_TEXT = """\
{title}

{text}

Order   ORDERID
"""

# Many mail programs support tables and inline styles only.
_HTML = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{subject}</title></head>
<body style="margin:0;background:#f4f4f2;font-family:system-ui,Helvetica,Arial,sans-serif">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center"
 style="padding:32px 16px">
<table role="presentation" width="480" cellpadding="0" cellspacing="0"
 style="max-width:480px;background:#ffffff;border-radius:8px">
<tr><td style="background:{colour};border-radius:8px 8px 0 0;padding:24px 32px">
<h1 style="margin:0;color:#ffffff;font-size:26px">{title}</h1></td></tr>
<tr><td style="padding:24px 32px;color:#1c1917;font-size:16px;line-height:1.5">
<p style="margin:0 0 24px">{text}</p>
<p style="margin:0;color:#57534e;font-size:13px">Order<br>
<code style="font-size:14px;color:#1c1917">ORDERID</code></p>
</td></tr></table></td></tr></table>
</body>
</html>
"""


class Stationery:
    """Writes the letters of one shop."""

    def __init__(self, sender: str, recipient: str) -> None:
        """Write from the address `sender` to `recipient`, an address with `{customer_id}` in it.

        Raises `ValueError` if `sender` is no address.
        """
        name, address = parseaddr(sender)
        local, _, domain = address.rpartition("@")
        if not (local and domain):
            raise ValueError(f"{sender!r} is no address")
        self._from = Address(name, local, domain)
        self._recipient = recipient
        self._template = lru_cache(self._new_template)

    def letter(self, event: OrderEvent) -> Letter:
        """Return the mail for an event, the same bytes for every copy of the event.

        Raises `GiveUp` if no mail address can be made of the customer id.
        """
        template = self._template(
            _CONFIRMED if event.status == "confirmed" else _words_of_rejection(event.reason)
        )
        to = self._address(event.customer_id)
        sent = format_datetime(datetime.fromtimestamp(event.decided_at, UTC))
        content = (
            template.replace("EVENTID", event.event_id)
            .replace("ORDERID", event.order_id)
            .replace("RECIPIENT@invalid", to)
            .replace(_DATE, sent)
            .replace("QUANTITY", str(event.quantity))
            .replace("REMAINING", str(event.remaining or "fewer"))
            # Last, as a sku may contain any of the words that are replaced above.
            .replace("SKU", event.sku)
        )
        return Letter(event.event_id, self._from.addr_spec, to, content.encode("ascii"))

    def _address(self, customer_id: str) -> str:
        try:
            if "@" in customer_id:  # the id is an address
                address = Address(addr_spec=customer_id)
            else:
                local, _, domain = self._recipient.rpartition("@")
                address = Address(username=local.format(customer_id=customer_id), domain=domain)
            address.addr_spec.encode("ascii")
        except (ValueError, IndexError, HeaderParseError) as error:
            raise GiveUp("no mail address can be made of the customer id") from error
        if not (address.username and address.domain):
            raise GiveUp("no mail address can be made of the customer id")
        return address.addr_spec

    def _new_template(self, words: _Words) -> str:
        # The email package takes almost a millisecond for a letter, so it writes each template
        # once. The values are ASCII without line ends, by the message contract.
        message = EmailMessage(policy=SMTP)
        message["From"] = self._from
        message["To"] = "RECIPIENT@invalid"
        message["Subject"] = words.subject
        message["Message-ID"] = f"<EVENTID@{self._from.domain}>"
        message["Date"] = _DATE
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_TEXT.format(**vars(words)), cte="7bit")
        message.add_alternative(_HTML.format(**vars(words)), subtype="html", cte="7bit")
        message.set_boundary("=_flashsale")  # a random boundary would make each copy differ
        return message.as_bytes().decode("ascii")


def _words_of_rejection(reason: str | None) -> _Words:
    return _REJECTED.get(Reason(reason), _NOT_SOLD) if reason in list(Reason) else _NOT_SOLD
