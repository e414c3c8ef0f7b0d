"""The page about the HTTP sink is true: its request, its answers, its problem types."""

import json
import re
from pathlib import Path

from flashsale.domain.delivery.answers import (
    Busy,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
    kind_of,
)
from flashsale.domain.delivery.breaker import BreakerState
from flashsale.domain.delivery.receiver import Parcel
from flashsale.domain.order_states import Reason
from flashsale.domain.orders import Order
from flashsale.messages.standard_webhooks import parse_secret
from flashsale.sinks.http.answer_table import HttpAnswer, batch_meanings
from flashsale.sinks.http.requests import CONSTANT_HEADERS, order_request
from tests.unit.sinks.parcels import parcels

PAGE = (Path(__file__).parents[3] / "docs" / "sink.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n{title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    return set(re.findall(r"^\| `([\w-]+)` \|", text, re.M))


def test_the_request_of_the_page_is_the_one_that_is_sent() -> None:
    shown = section("## The request")
    indented = re.findall(r"^ {4}(.+)$", shown.partition("### Batches")[0], re.M)
    given = dict(line.split(": ", 1) for line in indented[1:] if re.match(r"[\w-]+: ", line))
    body = json.loads("".join(line for line in indented if line.startswith(("{", " "))))
    data = body["data"]
    order = Order(
        *(data[name] for name in ("order_id", "sku", "customer_id", "quantity", "accepted_at"))
    )
    secret = re.search(r"whsec_[\w=]+", shown)
    assert secret is not None
    sent, headers = order_request(
        Parcel(order, decided=False, traceparent=given["traceparent"]),
        parse_secret(secret[0]),
        float(given["webhook-timestamp"]),
    )
    assert json.loads(sent) == body
    version = re.compile(r"(?<=flashsale-gateway/).*")
    expected = {**CONSTANT_HEADERS, **headers, "Host": "shop.example"}
    assert {n: version.sub("", v) for n, v in given.items()} == {
        n: version.sub("", v) for n, v in expected.items()
    }


def test_the_answers_to_a_batch_on_the_page_mean_what_it_says() -> None:
    text = section("## The request").partition("The answer is 200 with")[2]
    array = "".join(re.findall(r"^ {4}(.+)$", text, re.M))
    assert batch_meanings(HttpAnswer(200, array.encode()), parcels(3)) == [
        Taken("A-17"),
        Refused(Reason.SOLD_OUT),
        Busy("the receiver answers 429", 3.0),
    ]


def test_the_page_has_a_line_for_each_kind_of_answer() -> None:
    kinds = {kind_of(TryAgain("", trouble=trouble)) for trouble in Trouble} | {
        kind_of(each) for each in (Taken(), Refused(Reason.SOLD_OUT), Busy(""), Undeliverable(""))
    }
    table = section("## The table of answers").partition("A body is read")[0]
    assert set(re.findall(r"\| `(\w+)` \|$", table, re.M)) == kinds


def test_the_page_names_each_problem_type_and_each_state_of_the_breaker() -> None:
    named = first_cells(section("## The table of answers"))
    assert named == {reason.replace("_", "-") for reason in Reason}
    assert first_cells(section("## The circuit breaker")) == set(BreakerState)
