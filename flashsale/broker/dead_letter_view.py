"""A dead letter as an operator sees it."""

from dataclasses import dataclass

import msgspec

from flashsale.broker import DeadQueue, Delivery
from flashsale.messages.codec import MessageError
from flashsale.messages.events import decode_event
from flashsale.messages.headers import ATTEMPTS, DIED_AT, REASON
from flashsale.messages.orders import decode_order


@dataclass(frozen=True)
class LetterView:
    """A dead letter, decoded as far as it can be read. `died_at` is in Unix seconds."""

    id: str
    queue: str
    order_id: str | None
    """The order, also of an event about it; None if the letter can't be read."""
    tries: int
    died_at: int | None
    reason: str
    body: str
    """JSON if it is an order or an event, otherwise a bytes literal."""


def letter_view(dead: DeadQueue, letter: Delivery) -> LetterView:
    """Return a letter of that queue as an operator sees it."""
    tries = letter.headers.get(ATTEMPTS, 1)
    died_at = letter.headers.get(DIED_AT)
    return LetterView(
        id=letter.message_id,
        queue=dead.name,
        order_id=_order_id(letter.body),
        tries=tries if isinstance(tries, int) else 1,
        died_at=died_at if isinstance(died_at, int) else None,
        reason=str(letter.headers.get(REASON, "")),
        body=_as_text(letter.body),
    )


def _order_id(body: bytes) -> str | None:
    try:
        return decode_order(body).id
    except MessageError:
        pass
    try:
        return decode_event(body).order_id
    except MessageError:
        return None


def _as_text(body: bytes) -> str:
    try:
        return msgspec.json.format(msgspec.json.encode(msgspec.to_builtins(_fields(body)))).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return repr(body)


def _fields(body: bytes) -> object:
    try:
        order = decode_order(body)
    except MessageError:
        return msgspec.json.decode(body)
    return {name: getattr(order, name) for name in order.__struct_fields__}
