"""The table of answers: what each status and body of a receiver means for an order."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.domain.delivery.answers import (
    Busy,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)
from flashsale.domain.order_states import Reason
from flashsale.sinks.http.answer_table import REASONS, HttpAnswer, batch_meanings, meaning
from tests.unit.sinks.parcels import a_parcel, parcels


def an_answer(status: int, body: object = None, retry_after: float | None = None) -> HttpAnswer:
    return HttpAnswer(status, b"" if body is None else json.dumps(body).encode(), retry_after)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_has_taken_the_order(status: int) -> None:
    assert meaning(an_answer(status), a_parcel()) == Taken(None)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("A-17", "A-17"),
        ("  A 17 ", "A 17"),
        (17, "17"),
        (1.5, "1.5"),
        ("Bestellung №7", "Bestellung №7"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("", None),
        ("a\nb", None),
        (None, None),
        (True, None),
        (["A"], None),
        ({"id": 1}, None),
    ],
)
def test_a_reference_is_kept_if_it_is_a_word_or_a_number(told: object, kept: str | None) -> None:
    assert meaning(an_answer(200, {"order_ref": told, "x": []}), a_parcel()) == Taken(kept)


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"OK",
        b"<html>",
        b"[]",
        b"null",
        b'"A-17"',
        b'{"order_ref": "A',
        b"\xff\xfe",
        b'{"order_ref": ' + b"9" * 5_000 + b"}",
        b"[" * 100_000,
        b'{"order_ref": ' + b"[" * 60_000,
    ],
)
def test_a_2xx_has_taken_the_order_whatever_its_body_is(body: bytes | None) -> None:
    assert meaning(HttpAnswer(200, body), a_parcel()) == Taken(None)


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        *[(f"/problems/{name}", reason) for name, reason in REASONS.items()],
        ("https://shop.example/problems/sold-out", Reason.SOLD_OUT),
        ("https://shop.example/problems/sold-out/", Reason.SOLD_OUT),
        ("https://shop.example/problems#sold_out", Reason.SOLD_OUT),
        ("urn:shop:customer-limit", Reason.CUSTOMER_LIMIT),
        ("SOLD-OUT", Reason.SOLD_OUT),
    ],
)
@pytest.mark.parametrize("maybe_known", [False, True])
def test_409_and_422_with_a_documented_problem_type_refuse_the_order(
    status: int, told: str, reason: Reason, maybe_known: bool
) -> None:
    parcel = a_parcel(maybe_known=maybe_known)
    assert meaning(an_answer(status, {"type": told}), parcel) == Refused(reason)


OTHER_PROBLEMS = [None, {"type": "about:blank"}, {"type": "/sold-out/of-what"}, {"type": 7}, "x"]


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("body", OTHER_PROBLEMS)
def test_409_and_422_without_one_make_it_undeliverable(status: int, body: object) -> None:
    assert meaning(an_answer(status, body), a_parcel()) == Undeliverable(
        f"the receiver answers {status}"
    )


@pytest.mark.parametrize("body", OTHER_PROBLEMS)
def test_409_to_an_order_that_the_receiver_may_have_decides_nothing(body: object) -> None:
    known = a_parcel(maybe_known=True)
    answer = meaning(an_answer(409, body), known)
    assert isinstance(answer, TryAgain)
    assert (answer.unknown, answer.trouble) == (True, Trouble.STILL_AT_FIRST)
    assert isinstance(meaning(an_answer(422, body), known), Undeliverable)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "waited"), [(None, None), (0.0, 0.0), (3.0, 3.0), (60.0, 60.0), (86_400.0, 60.0)]
)
def test_429_and_503_are_busy_for_a_minute_at_most(
    status: int, asked: float | None, waited: float | None
) -> None:
    answer = meaning(an_answer(status, None, asked), a_parcel())
    assert answer == Busy(f"the receiver answers {status}", waited)


@pytest.mark.parametrize("status", [500, 501, 502, 504, 507, 599])
def test_other_5xx_are_tried_again_and_the_order_may_be_there(status: int) -> None:
    answer = meaning(an_answer(status), a_parcel())
    assert answer == TryAgain(f"the receiver answers {status}", True, Trouble.SERVER_ERROR)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 410, 413])
def test_3xx_and_other_4xx_are_undeliverable_at_once(status: int) -> None:
    answer = meaning(an_answer(status, {"type": "sold_out"}), a_parcel())
    assert answer == Undeliverable(f"the receiver answers {status}")


@pytest.mark.parametrize("status", [101, 199, 600, 999])
def test_a_status_that_http_does_not_have_decides_nothing(status: int) -> None:
    answer = meaning(an_answer(status), a_parcel())
    assert isinstance(answer, TryAgain)
    assert answer.trouble is Trouble.MALFORMED


def test_each_order_of_a_batch_has_its_own_answer() -> None:
    items = [
        {"status": 200, "order_ref": "A-1"},
        {"status": 409, "type": "/problems/sold-out", "title": "Sold out"},
        {"status": 500},
        {"status": 429, "retry_after": 3},
        {"status": 404},
        {"status": 201},
    ]
    assert batch_meanings(an_answer(200, items), parcels(6)) == [
        Taken("A-1"),
        Refused(Reason.SOLD_OUT),
        TryAgain("the receiver answers 500", True, Trouble.SERVER_ERROR),
        Busy("the receiver answers 429", 3.0),
        Undeliverable("the receiver answers 404"),
        Taken(None),
    ]


@pytest.mark.parametrize(
    ("asked", "waited"), [(-1, None), ("3", None), (True, None), (1e300, 60.0), (None, None)]
)
def test_an_item_says_in_seconds_for_how_long_it_is_busy(
    asked: object, waited: float | None
) -> None:
    (answer,) = batch_meanings(
        an_answer(200, [{"status": 503, "retry_after": asked}]), [a_parcel()]
    )
    assert answer == Busy("the receiver answers 503", waited)


def test_a_409_in_a_batch_looks_at_its_own_order() -> None:
    known = a_parcel(maybe_known=True)
    first, second = batch_meanings(
        an_answer(207, [{"status": 409}, {"status": 409}]), [known, a_parcel(2)]
    )
    assert isinstance(first, TryAgain)
    assert isinstance(second, Undeliverable)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        [{"status": 200}],
        [{"status": 200}] * 3,
        {"status": 200},
        {"answers": [{"status": 200}, {"status": 200}]},
        [{"status": 200}, {}],
        [{"status": 200}, None],
        [{"status": 200}, {"status": "200"}],
        [{"status": 200}, {"status": True}],
        [{"status": 200}, {"status": 0}],
        [{"status": 200}, {"status": 100}],
        [{"status": 200}, {"status": 600}],
        [200, 200],
        "ok",
    ],
)
def test_an_array_of_another_length_or_shape_decides_nothing(body: object) -> None:
    answers = batch_meanings(an_answer(200, body), parcels(2))
    assert len(answers) == 2
    for answer in answers:
        assert isinstance(answer, TryAgain)
        assert (answer.unknown, answer.trouble) == (True, Trouble.MALFORMED)


def test_a_body_that_was_not_read_decides_nothing_about_a_batch() -> None:
    (answer,) = batch_meanings(HttpAnswer(200, None), [a_parcel()])
    assert isinstance(answer, TryAgain)
    assert answer.trouble is Trouble.MALFORMED


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (an_answer(413), Undeliverable),
        (an_answer(301), Undeliverable),
        (an_answer(500), TryAgain),
        (an_answer(429, None, 2.0), Busy),
        (an_answer(422, {"type": "sale_closed"}), Refused),
    ],
)
def test_an_answer_that_is_not_2xx_is_for_the_whole_batch(
    answer: HttpAnswer, kind: type[Any]
) -> None:
    answers = batch_meanings(answer, parcels(3))
    assert [type(each) for each in answers] == [kind] * 3


@pytest.mark.parametrize("problem", ["sold-out", "not-enough-left", "customer-limit"])
def test_a_refusal_of_a_whole_batch_that_is_not_clear_is_asked_for_order_by_order(
    problem: str,
) -> None:
    refused = an_answer(409, {"type": problem})
    of_several = [a_parcel(1), a_parcel(2, sku="phone"), a_parcel(3)]
    clear = problem == "sold-out"
    assert batch_meanings(refused, parcels(3)) == (
        [Refused(Reason.SOLD_OUT)] * 3
        if clear
        else [Undeliverable("the receiver answers 409 to a whole batch")] * 3
    )
    unclear = [Undeliverable("the receiver answers 409 to a whole batch")] * 3
    assert batch_meanings(refused, of_several) == unclear
    (alone,) = batch_meanings(refused, [a_parcel(2, sku="phone")])
    assert isinstance(alone, Refused)


told = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: (
        st.lists(some, max_size=3)
        | st.dictionaries(st.sampled_from(["order_ref", "type", "status", "retry_after"]), some)
    ),
    max_leaves=6,
)
bodies = st.one_of(st.none(), st.binary(), told.map(lambda each: json.dumps(each).encode()))


@given(st.integers(100, 999), bodies, st.booleans())
def test_whatever_is_answered_means_something(
    status: int, body: bytes | None, maybe_known: bool
) -> None:
    parcel = a_parcel(maybe_known=maybe_known)
    one = meaning(HttpAnswer(status, body), parcel)
    many = batch_meanings(HttpAnswer(status, body), [parcel] * 2)
    assert isinstance(one, Taken) == (200 <= status < 300)
    assert len(many) == 2
