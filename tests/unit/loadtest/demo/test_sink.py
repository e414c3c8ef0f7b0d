"""The demo at a shop: its figures, the promises that it judges, and its picture."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from loadtest.demo.sink.course import course
from loadtest.demo.sink.figures import Run, SinkReport, figures, judge
from loadtest.demo.sink.picture import draw
from loadtest.demo.sink.shoppers import Shopping
from loadtest.demo.sink.summary import print_summary
from loadtest.load.open_loop import Attempt
from loadtest.load.shapes import SpikeShape
from loadtest.receiver.order_book import Made
from loadtest.receiver.stats import Stats

SHAPE = SpikeShape(rate=10, seconds=1, base=1, before=1, after=1)
START = 500.0
CAPACITY = 4


def stats(**changes: object) -> Stats:
    found = Stats(
        started_at=START - 1, arrivals=[0, 1, 4], answered=[0, 1, 4], failed=[],
        arrivals_by_tenth=[0] * 10 + [1] + [0] * 9 + [4], arrivals_max_1s=4, answered_max_1s=4,
        requests=5, waiting=0, stock=5, sold=5, orders=5, sold_out=0, repeated=0, doubled=0,
        oversold=0,
    )  # fmt: skip
    return msgspec.structs.replace(found, **changes)


def an_order(customer: str, at: float) -> Made:
    return Made(f"shop-{customer}", customer, customer, 1, at)


def shopping(good: int, other: int, rest: int = 0) -> Shopping:
    """Twelve shoppers, of whom the first five get orders, as they are all but answered so."""
    statuses = [good] * 5 + [other] * 6 + [rest or other]
    due = SHAPE.schedule()
    return Shopping(
        {
            f"c-{number}": Attempt(START + due[number], START + due[number], status, 0.01)
            for number, status in enumerate(statuses)
        }
    )


def orders(seconds: float = 0.2) -> list[Made]:
    return [an_order(f"c-{n}", START + SHAPE.schedule()[n] + seconds) for n in range(5)]


def outcomes(customers: range = range(5), status: Status = Status.CONFIRMED) -> dict[str, Outcome]:
    return {
        f"order-{n}": Outcome(Order(f"{n:032x}", "tv", f"c-{n}", 1, 0.0), status) for n in customers
    }


ALONE = Run(SHAPE, shopping(201, 503), stats(), orders())
THROUGH = Run(SHAPE, shopping(202, 503, 409), stats(), orders(), {"queue-full": 6, "sold-out": 1})


def test_a_run_that_kept_every_promise_has_none_broken() -> None:
    report = judge(ALONE, THROUGH, outcomes(), CAPACITY)
    assert report.broken == []
    assert (report.accepted, report.decided, report.confirmed, report.lost) == (5, 5, 5, 0)
    assert report.through.refused == {"queue-full": 6, "sold-out": 1}
    assert report.through.errors == 0


def test_a_503_of_the_shop_itself_is_a_failure() -> None:
    assert figures(ALONE).errors == 7
    assert figures(THROUGH).errors == 0


def test_an_order_whose_fate_the_gateway_does_not_know_is_an_error_and_no_broken_promise() -> None:
    refusals = {"queue-full": 4, "broker-unavailable": 2, "sold-out": 1}
    report = judge(ALONE, replace(THROUGH, refusals=refusals), outcomes(), CAPACITY)
    assert report.broken == []
    assert report.through.errors == 2


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("1 accepted orders lost", lambda run: (run, outcomes(range(4)))),
        ("1 orders in the dead queue", lambda run: (run, _with(outcomes(), Status.FAILED))),
        ("2 orders doubled", lambda run: (replace(run, stats=stats(doubled=2)), outcomes())),
        ("3 items sold over", lambda run: (replace(run, stats=stats(oversold=3)), outcomes())),
        (
            "1 orders over the limit",
            lambda run: (replace(run, stats=stats(arrivals_max_1s=5)), outcomes()),
        ),
        (
            "1 confirmed orders that the shop does not have",
            lambda run: (replace(run, made=run.made[:-1]), outcomes()),
        ),
        (
            "1 orders of the shop that are not confirmed",
            lambda run: (run, _with(outcomes(), Status.REJECTED)),
        ),
        (
            "1 requests without a proper answer",
            lambda run: (replace(run, shopping=shopping(202, 503, 500)), outcomes()),
        ),
        (
            "the gateway took none",
            lambda run: (replace(run, shopping=shopping(503, 503), made=[]), {}),
        ),
    ],
)
def test_each_broken_promise_is_named(
    words: str, change: Callable[[Run], tuple[Run, dict[str, Outcome]]]
) -> None:
    report = judge(ALONE, *change(THROUGH), CAPACITY)
    assert [broken for broken in report.broken if words in broken] != []


def _with(found: dict[str, Outcome], status: Status) -> dict[str, Outcome]:
    return found | {"order-0": msgspec.structs.replace(found["order-0"], status=status)}


def test_the_rate_of_orders_counts_until_everything_is_sold() -> None:
    # One order was made before the spike, four within 0.5 s of its begin.
    assert figures(THROUGH).orders_per_second == pytest.approx(3 / 0.5)
    left = replace(THROUGH, stats=stats(stock=6))
    assert figures(left).orders_per_second == pytest.approx(4 / 1)


def test_the_course_of_a_run_counts_each_order_once() -> None:
    run = course(ALONE)
    assert sum(run.offered) / 2 == 12
    assert sum(run.reached_shop) / 2 == 5
    assert sum(run.orders) / 2 == 5
    assert sum(run.errors) / 2 == 7
    assert run.order_seconds[0] == pytest.approx(0.2)
    # Nobody came in the half second before the spike.
    assert run.answer_seconds[1] is None
    assert sum(course(THROUGH).refused) / 2 == 7


def test_the_picture_is_a_small_file(tmp_path: Path) -> None:
    file = tmp_path / "sink.png"
    draw(ALONE, THROUGH, CAPACITY, file)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size < 150_000


def printed(report: SinkReport) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_summary(report, console)
    return console.export_text()


def test_the_summary_says_what_was_kept_and_what_was_broken() -> None:
    kept = judge(ALONE, THROUGH, outcomes(), CAPACITY)
    assert "The gateway kept every promise." in printed(kept)
    assert "This machine offered" not in printed(kept)
    text = printed(judge(ALONE, THROUGH, outcomes(range(3)), CAPACITY))
    assert "broken: 2 accepted orders lost" in text
    assert "kept every promise" not in text


def test_the_summary_says_if_the_machine_could_not_offer_the_rate() -> None:
    report = judge(ALONE, THROUGH, outcomes(), CAPACITY)
    text = printed(msgspec.structs.replace(report, wanted_rate=5_000))
    assert "offered 10 orders a second to the shop with the gateway, not 5,000" in text
