"""Parse an order strictly, and name every field that is wrong."""

import json
import unicodedata
from collections.abc import Sequence
from typing import Any, NoReturn, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from flashsale.domain.customers import LONGEST_ID, normal_customer_id
from flashsale.domain.orders import CustomerId, OrderRequest, Quantity, Sku
from gateway.intake.refusals import InvalidOrder, NotJson, OtherCustomer
from gateway.intake.whole_numbers import with_whole_numbers


class CallersOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /orders` if a token says who orders."""

    sku: Sku
    customer_id: CustomerId | UnsetType = UNSET
    quantity: Quantity = 1


_decode = msgspec.json.Decoder(OrderRequest).decode
_decode_callers_order = msgspec.json.Decoder(CallersOrder).decode

# An order with three fields and two texts has ten quotes. More of them mean an escape or a field
# that appears twice.
_PLAIN_QUOTES = 10
_PLAIN_QUOTES_OF_CALLER = 6
"""Of an order that leaves the customer out."""

_LONGEST_TYPED = 8 * LONGEST_ID
"""A character of NFC has at most four in NFD. The rest is for what does not count."""

# More than any field allows. Python refuses to convert numbers of thousands of digits.
_MOST_DIGITS = 20


# The answer is not to be larger than the request.
_MOST_UNKNOWN = 10

_ALLOWED = {
    "sku": "must be 1 to 64 ASCII letters, digits, dots, dashes or underscores, no mark first",
    "customer_id": "must not hold control characters or lone surrogates",
}


def parse_order(body: bytes, *, casefold: bool = False, caller: str | None = None) -> OrderRequest:
    """Return the order in a request's body, its customer id in the normal form.

    With `casefold` ids that differ only in case are the same. If a token says who orders, `caller`,
    then the body need not. Raises `NotJson`, `InvalidOrder` or `OtherCustomer`.
    """
    try:
        if caller is None or b'"customer_id"' in body:
            left_out = False
            order = _decode(body)
        else:
            left_out = True
            order = _of_caller(_decode_callers_order(body), caller)
    except msgspec.ValidationError:
        order = _less_plain(body, caller)
    except UnicodeDecodeError as error:
        raise NotJson("The body is not UTF-8.") from error
    except msgspec.DecodeError as error:
        # msgspec calls the end of a string in the middle of an escape so, too.
        detail = str(error)
        detail = "A text or the body ends too early." if "truncated" in detail else detail
        raise NotJson(detail) from error
    if body.count(b'"') > (_PLAIN_QUOTES_OF_CALLER if left_out else _PLAIN_QUOTES):
        _parse_strictly(body)  # msgspec takes the last of two fields with the same name
    customer_id = normal_customer_id(order.customer_id, casefold=casefold)
    if customer_id != order.customer_id:
        _check_length(customer_id)
        order = msgspec.structs.replace(order, customer_id=customer_id)
    if caller is not None and customer_id != caller:
        raise OtherCustomer
    return order


def _of_caller(order: CallersOrder, caller: str) -> OrderRequest:
    customer_id = caller if order.customer_id is UNSET else order.customer_id
    return OrderRequest(order.sku, customer_id, order.quantity)


def _less_plain(body: bytes, caller: str | None) -> OrderRequest:
    """Return the order of a body that is valid once its values are in their normal form.

    A customer id of more characters than the limit may have fewer in NFC, and without what does not
    count. A quantity may be 2.0. Raises `NotJson` or `InvalidOrder`.
    """
    value = with_whole_numbers(_parse_strictly(body))
    typed = value.get("customer_id") if isinstance(value, dict) else None
    if isinstance(typed, str) and LONGEST_ID < len(typed) <= _LONGEST_TYPED and _is_plain(typed):
        value["customer_id"] = normal_customer_id(typed)
    try:
        if caller is not None:
            return _of_caller(msgspec.convert(value, CallersOrder), caller)
        return msgspec.convert(value, OrderRequest)
    except (msgspec.ValidationError, UnicodeEncodeError):
        _raise_invalid_order(value, OrderRequest if caller is None else CallersOrder)


def _is_plain(text: str) -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def _check_length(customer_id: str) -> None:
    if not customer_id:
        detail = "has only spaces and invisible characters"
    elif len(customer_id) > LONGEST_ID:
        detail = f"has more than {LONGEST_ID} characters in its normal form (NFC)"
    else:
        return
    raise InvalidOrder("Wrong: customer_id.", [{"field": "customer_id", "detail": detail}])


def _parse_strictly(body: bytes) -> Any:
    def pairs(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            raise ValueError("a name stands twice in one object")
        return found

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(
            body, object_pairs_hook=pairs, parse_constant=constant, parse_int=_integer
        )
    except RecursionError as error:
        raise NotJson("The body is nested too deeply.") from error
    except ValueError as error:
        raise NotJson(str(error)) from error


def _integer(digits: str) -> int:
    return int(digits[:_MOST_DIGITS])


def _raise_invalid_order(value: Any, wanted: type[msgspec.Struct]) -> NoReturn:
    if not isinstance(value, dict):
        raise InvalidOrder(
            "An order is a JSON object.", [{"field": "", "detail": "expected an object"}]
        )
    errors = []
    hints = get_type_hints(wanted, include_extras=True)
    for field in msgspec.structs.fields(wanted):
        if field.name not in value:
            if field.required:
                errors.append({"field": field.name, "detail": "is missing"})
            continue
        try:
            msgspec.convert(value[field.name], hints[field.name])
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            detail = str(error)
            if "regex" in detail:
                detail = _ALLOWED.get(field.name, "has characters that are not allowed")
            errors.append({"field": field.name, "detail": detail})
    unknown = [name for name in value if name not in hints]
    errors += [
        {"field": name[:100], "detail": "is not a field of an order"}
        for name in unknown[:_MOST_UNKNOWN]
    ]
    raise InvalidOrder(
        f"Wrong: {', '.join(_printable(error['field']) for error in errors)}.",
        [{name: _printable(text) for name, text in error.items()} for error in errors],
    )


def _printable(text: str) -> str:
    # JSON can hold a lone surrogate, UTF-8 can't.
    return text.encode(errors="replace").decode()
