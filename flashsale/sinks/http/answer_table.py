"""The table of answers: what a status and a body of the receiver mean for an order."""

import re
from collections.abc import Sequence

import msgspec

from flashsale.domain.delivery.answers import (
    Answer,
    Busy,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.order_states import Reason

LONGEST_REF = 200
"""The longest reference in characters that is kept. A longer one is dropped."""

LONGEST_QUIET_SECONDS = 60.0
"""The longest `Retry-After` that is obeyed."""

REASONS = {reason.value: reason for reason in Reason}
"""The last part of each problem type by which a receiver refuses an order."""

_PART = re.compile(r"[/#:]")


class HttpAnswer(msgspec.Struct, frozen=True):
    """What a receiver answered, for one order or for a whole request."""

    status: int
    body: bytes | None = b""
    """None if it was not read: it is no JSON by its headers, or too long."""
    retry_after: float | None = None
    """In seconds."""


class _Told(msgspec.Struct):
    """A JSON body for one order. Fields of other types count as missing."""

    order_ref: object = None
    type: object = None


class _Item(msgspec.Struct):
    """The answer for one order in the array that answers a batch."""

    status: int
    order_ref: object = None
    type: object = None
    retry_after: object = None


_decode_told = msgspec.json.Decoder(_Told).decode
_decode_items = msgspec.json.Decoder(list[_Item]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def meaning(answer: HttpAnswer, parcel: Parcel) -> Answer:
    """Return what an answer means for an order."""
    told = _read(answer.body) if answer.status in _STATUSES_WITH_BODY else _NOTHING_TOLD
    return _meaning(answer.status, told, answer.retry_after, parcel)


def batch_meanings(answer: HttpAnswer, parcels: Sequence[Parcel]) -> list[Answer]:
    """Return what the answer to a batch means for each of its orders.

    An answer that is not 2xx is for all of them, but for a refusal that can't be: it is of several
    sales, or its reason is of one order. A 2xx has an array with one answer for each order, in the
    order of the request; anything else decides nothing.
    """
    if not 200 <= answer.status < 300:
        answers = [meaning(answer, parcel) for parcel in parcels]
        if len(parcels) > 1 and isinstance(answers[0], Refused):
            of_one_sale = len({parcel.order.sku for parcel in parcels}) == 1
            if not of_one_sale or answers[0].reason not in _OF_A_SALE:
                # The sender asks for each order then.
                unclear = Undeliverable(f"the receiver answers {answer.status} to a whole batch")
                return [unclear] * len(parcels)
        return answers
    try:
        items = _decode_items(answer.body or b"")
    except _UNREADABLE:
        return _malformed(parcels, "is not an array of answers that each have a status")
    if len(items) != len(parcels):
        return _malformed(parcels, f"has {len(items)} items, not {len(parcels)}")
    if not all(200 <= item.status < 600 for item in items):
        return _malformed(parcels, "has a status that is not from 200 to 599")
    return [
        _meaning(item.status, _Told(item.order_ref, item.type), _seconds(item.retry_after), parcel)
        for item, parcel in zip(items, parcels, strict=True)
    ]


def _meaning(status: int, told: _Told, retry_after: float | None, parcel: Parcel) -> Answer:
    if 200 <= status < 300:
        return Taken(_reference(told.order_ref))
    if status in (429, 503):
        seconds = None if retry_after is None else min(retry_after, LONGEST_QUIET_SECONDS)
        return Busy(f"the receiver answers {status}", seconds)
    if status in (409, 422):
        if (reason := _reason(told.type)) is not None:
            return Refused(reason)
        if status == 409 and parcel.maybe_known:
            return TryAgain(
                "the receiver answers 409, as if it is still at an earlier attempt",
                unknown=True,
                trouble=Trouble.STILL_AT_FIRST,
            )
    if 300 <= status < 500:
        return Undeliverable(f"the receiver answers {status}")
    if 500 <= status < 600:
        return TryAgain(f"the receiver answers {status}", trouble=Trouble.SERVER_ERROR)
    return TryAgain(f"the receiver answers {status}", trouble=Trouble.MALFORMED)


def _malformed(parcels: Sequence[Parcel], what: str) -> list[Answer]:
    answer = TryAgain(f"the answer to a batch {what}", trouble=Trouble.MALFORMED)
    return [answer] * len(parcels)


def _read(body: bytes | None) -> _Told:
    try:
        return _decode_told(body or b"")
    except _UNREADABLE:
        return _NOTHING_TOLD


def _reference(given: object) -> str | None:
    """Return the receiver's own name for an order: a string, or a number in its digits."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    try:
        text = str(given).strip()
    except ValueError:  # an integer of thousands of digits
        return None
    return text if 0 < len(text) <= LONGEST_REF and text.isprintable() else None


def _reason(problem_type: object) -> Reason | None:
    """Return the reason that the last part of a problem type names (RFC 9457), None if none."""
    if not isinstance(problem_type, str):
        return None
    last = _PART.split(problem_type.strip().rstrip("/"))[-1]
    return REASONS.get(last.lower().replace("-", "_"))


def _seconds(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        return None
    return float(min(given, LONGEST_QUIET_SECONDS))


_NOTHING_TOLD = _Told()
_OF_A_SALE = (Reason.SOLD_OUT, Reason.SALE_NOT_OPEN, Reason.SALE_CLOSED, Reason.UNKNOWN_SKU)
_STATUSES_WITH_BODY = frozenset((*range(200, 300), 409, 422))
