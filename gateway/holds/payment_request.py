"""What a payment provider tells: check the signature, and read the payment."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from flashsale.domain.errors import FlashsaleError
from flashsale.domain.holds.payments import AMOUNT_PATTERN, Payment, PaymentOutcome
from flashsale.messages.standard_webhooks import SignatureRefused, require_headers, verify
from gateway.http.json_body import read_json_body
from gateway.http.problems import Problem

_DIGITS, _DECIMALS = 15, 4
_CHALLENGE = {"WWW-Authenticate": 'StandardWebhooks realm="payments"'}
_FIELD = re.compile(r"`\$\.([^`]*)`")

Amount = Annotated[
    Decimal,
    Meta(
        description="A decimal number such as `499.00`, as text or as a number, of at most"
        f" {_DIGITS} digits before the point and {_DECIMALS} after it. Without it the amount is not"
        " checked.",
        extra_json_schema={"examples": ["499.00"]},
    ),
]


class PaymentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /payments`: what has become of a payment."""

    order_id: str
    payment_id: Annotated[str, Meta(pattern=r"^[\x21-\x7e]{1,200}\Z")]
    outcome: PaymentOutcome
    amount: Amount | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Za-z]{3}\Z")] | None = None


_decode = msgspec.json.Decoder(PaymentRequest).decode


async def read_signed(request: web.Request, keys: Sequence[bytes], now: float) -> Payment:
    """Return the payment of a request that one of the keys has signed.

    Raises `Unsigned` if nobody knows from whom it is, and else `Problem`.
    """
    try:
        require_headers(request.headers)
        body = await read_json_body(request)
        webhook_id = verify(keys, request.headers, body, now)
    except SignatureRefused as refused:
        detail = f"{str(refused)[:1].upper()}{str(refused)[1:]}."
        raise Unsigned(Problem("bad-signature", detail, headers=_CHALLENGE)) from refused
    except Problem as problem:
        raise Unsigned(problem) from problem
    return _payment(body, webhook_id)


class Unsigned(FlashsaleError):
    """A request to take in a payment is from anybody."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def _payment(body: bytes, webhook_id: str) -> Payment:
    try:
        told = _decode(body)
    except msgspec.ValidationError as error:
        found = _FIELD.search(str(error))
        raise _invalid(found[1] if found else "", str(error).partition(" - at ")[0]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad-json", str(error)) from error
    currency = None if told.currency is None else told.currency.upper()
    amount = None if told.amount is None else _plain(told.amount)
    try:
        return Payment(told.order_id, told.payment_id, told.outcome, amount, currency, webhook_id)
    except ValueError as error:
        raise _invalid("webhook-id", str(error)) from error


def _plain(amount: Decimal) -> str:
    """Return an amount as plain digits. Raises `Problem` unless it is one, and exact.

    A provider that computes with floats may tell 499.90000000000003: that is no amount of money.
    """
    sign, digits, exponent = amount.as_tuple()
    # Before it is written out: a number of 10 characters may have a million digits.
    fits = isinstance(exponent, int) and -_LONGEST <= exponent <= _DIGITS and len(digits) < _LONGEST
    text = f"{abs(amount):f}" if fits else ""
    if "." in text:
        whole, _, decimals = text.partition(".")
        text = f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
    if (sign and any(digits)) or not re.match(AMOUNT_PATTERN, text):
        raise _invalid(
            "amount",
            f"must be a decimal number such as 499.00, with at most {_DIGITS} digits before the"
            f" point and {_DECIMALS} after it",
        )
    return text


_LONGEST = 40


def _invalid(field: str, detail: str) -> Problem:
    errors = [{"field": field, "detail": detail}]
    text = f"{field}: {detail}" if field else detail
    return Problem("invalid-payment", text, errors=errors)
