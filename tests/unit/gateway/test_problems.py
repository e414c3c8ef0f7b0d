"""The tables of problems: every kind and every refusal has its row."""

import json
from typing import get_args

import pytest

from flashsale.domain.order_ids import OrderId
from gateway.http import problems
from gateway.http.json_response import JsonResponse
from gateway.http.problem_kinds import KINDS, ProblemKind
from gateway.http.problems import Problem, refusal_response
from gateway.intake.refusals import (
    InvalidOrder,
    KeyReused,
    LedgerAway,
    NotJson,
    OtherCustomer,
    OutcomeUnknown,
    PassRefused,
    PassRequired,
    PassUsed,
    QueueIsFull,
    Refusal,
    SaleClosed,
    SaleNotOpen,
    SaleRefusal,
    SoldOut,
    UnknownSku,
)

ORDER_ID = OrderId("a" * 32)
ERRORS = [{"field": "sku", "detail": "is missing"}]


def subclasses(base: type[Refusal]) -> set[type[Refusal]]:
    return {cls for sub in base.__subclasses__() for cls in ({sub} | subclasses(sub))}


def test_every_kind_of_problem_has_a_status_and_a_title() -> None:
    kinds = [kind for group in get_args(ProblemKind) for kind in get_args(group)]
    assert sorted(kinds) == sorted(KINDS)


def test_every_refusal_has_a_kind() -> None:
    assert set(problems._REFUSALS) == subclasses(Refusal) - {SaleRefusal}


def of_order(refusal: Refusal, *, earlier_unknown: bool = False) -> Refusal:
    """A refusal of an order with a key."""
    refusal.order_id = ORDER_ID
    refusal.earlier_unknown = earlier_unknown
    return refusal


def told(response: JsonResponse) -> tuple[int, str, str, dict[str, str], dict[str, object]]:
    """Return status, kind, detail, headers, and the members beside the usual ones."""
    body = json.loads(response._whole_body)
    assert body.pop("status") == response.status
    kind = body.pop("type").removeprefix("/problems/")
    assert body.pop("title")
    return response.status, kind, body.pop("detail"), dict(response._extra or {}), body


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (NotJson("line {1}"), (400, "bad-json", "line {1}", {}, {})),
        (
            InvalidOrder("Wrong: sku.", ERRORS),
            (422, "invalid-order", "Wrong: sku.", {}, {"errors": ERRORS}),
        ),
        (UnknownSku("tv"), (404, "unknown-sku", "There is no sale of tv.", {}, {})),
        (SaleNotOpen(), (409, "sale-not-open", "This sale has not begun.", {}, {})),
        (SaleClosed(), (409, "sale-closed", "This sale is over.", {}, {})),
        (SoldOut(), (409, "sold-out", "Every item of this sale is sold.", {}, {})),
        (
            of_order(SoldOut()),
            (409, "sold-out", "Every item of this sale is sold.", {}, {"order_id": ORDER_ID}),
        ),
        (
            of_order(SaleClosed(), earlier_unknown=True),
            (
                409,
                "sale-closed",
                "This sale is over. It is not known what became of an earlier attempt with this"
                " key: look it up by its order_id.",
                {},
                {"order_id": ORDER_ID, "earlier_attempt": "unknown"},
            ),
        ),
        (KeyReused(), (422, "key-reused", "Use a new key for a new order.", {}, {})),
        (
            QueueIsFull(1.2),
            (
                503,
                "queue-full",
                "This attempt was not taken. Come back.",
                {"Retry-After": "2"},
                {},
            ),
        ),
        (
            OutcomeUnknown(ORDER_ID, 0.1),
            (
                503,
                "broker-unavailable",
                "Look the order up by its id, or send it again with the same Idempotency-Key:"
                " that is safe.",
                {"Retry-After": "1"},
                {"order_id": ORDER_ID},
            ),
        ),
        (
            OtherCustomer(),
            (
                403,
                "other-customer",
                "Leave customer_id out, or send the one of the token.",
                {},
                {},
            ),
        ),
        (
            PassRequired(),
            (403, "pass-required", "Send a pass of the shop as Purchase-Pass.", {}, {}),
        ),
        (
            PassRefused("The pass has expired."),
            (403, "invalid-pass", "The pass has expired.", {}, {}),
        ),
        (
            PassUsed(),
            (
                409,
                "pass-used",
                "A pass is for one order. Send the same order again, or another pass.",
                {},
                {},
            ),
        ),
        (LedgerAway(), (503, "ledger-unavailable", "Try again.", {"Retry-After": "1"}, {})),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Refusal) else "",
)
def test_a_refusal_is_answered_as_its_problem(refusal: Refusal, expected: object) -> None:
    assert told(refusal_response(refusal)) == expected


def test_the_members_of_a_problem_come_after_the_usual_ones() -> None:
    response = Problem("not-ready", "x", checks={"broker": "away"}).response()
    assert response._whole_body == (
        b'{"type":"/problems/not-ready","title":"Not ready","status":503,"detail":"x",'
        b'"checks":{"broker":"away"}}'
    )


def test_refusals_in_a_spike_share_one_encoded_body() -> None:
    one, other = (refusal_response(QueueIsFull(seconds)) for seconds in (1, 2))
    assert one._whole_body is other._whole_body
