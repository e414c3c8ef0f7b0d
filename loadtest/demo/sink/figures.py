"""The figures of both runs, and the promises that the gateway kept or broke."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from flashsale.domain.order_states import Status
from flashsale.domain.orders import Outcome
from loadtest.demo.sink.shoppers import Shopping
from loadtest.load.open_loop import Attempt, percentiles_ms
from loadtest.load.shapes import SpikeShape
from loadtest.measure.windows import most_in_window
from loadtest.receiver.order_book import Made
from loadtest.receiver.stats import Stats

_PROPER = {"sold-out", "queue-full"}
_ACCEPTED, _MADE, _GONE, _COME_BACK = 202, 201, 409, 503


@dataclass(frozen=True)
class Run:
    """The evidence of one run: what the shoppers and the shop have seen.

    `refusals` are those of the gateway by name, None where there is none.
    """

    shape: SpikeShape
    shopping: Shopping
    stats: Stats
    made: Sequence[Made]
    refusals: Mapping[str, int] | None = None

    def failed(self, attempt: Attempt) -> bool:
        """Return whether a shopper got no proper answer.

        A 503 of the gateway says when to come back. One of the shop is a failure.
        """
        return attempt.status not in (_MADE, _ACCEPTED) and not self.refused(attempt)

    def refused(self, attempt: Attempt) -> bool:
        """Return whether a shopper was told that the sale is sold out, or when to come back."""
        proper = {_GONE} if self.refusals is None else {_GONE, _COME_BACK}
        return attempt.status in proper


class RunFigures(msgspec.Struct):
    """The figures of one run.

    `orders_per_second` are those that the shop made in each second of the spike on average, until
    it had nothing left. `errors` are the shoppers who were told neither that they have an order nor
    that they have none, as by `broker-unavailable`. The milliseconds count from the moment when the
    shopper wanted to order.
    """

    offered: int
    offered_max_1s: int
    reached_shop: int
    reached_shop_max_1s: int
    orders: int
    orders_per_second: float
    errors: int
    refused: dict[str, int]
    stock: int
    sold: int
    oversold: int
    doubled: int
    answer_ms: dict[str, float]
    order_ms: dict[str, float]


class SinkReport(msgspec.Struct):
    """The report. Rates are orders a second; `broken` lists what the gateway did not keep."""

    capacity: int
    wanted_rate: int
    straight: RunFigures
    through: RunFigures
    accepted: int
    decided: int
    confirmed: int
    rejected: dict[str, int]
    lost: int
    broken: list[str]


def figures(run: Run) -> RunFigures:
    """Return the figures of one run."""
    attempts = run.shopping.attempts
    sent = sorted(attempt.sent for attempt in attempts.values())
    answers = [each.seconds for each in attempts.values() if each.status]
    took = [
        made.at - attempts[made.customer_id].due
        for made in run.made
        if made.customer_id in attempts
    ]
    statuses = Counter(attempt.status for attempt in attempts.values())
    refused = {"sold-out": statuses[_GONE]} if run.refusals is None else dict(run.refusals)
    return RunFigures(
        offered=len(attempts),
        offered_max_1s=most_in_window([(moment, 1) for moment in sent], 1.0) if sent else 0,
        reached_shop=sum(run.stats.arrivals),
        reached_shop_max_1s=run.stats.arrivals_max_1s,
        orders=len(run.made),
        orders_per_second=_orders_per_second(run),
        errors=_failed(run) + sum(refused[name] for name in refused.keys() - _PROPER),
        refused=refused,
        stock=run.stats.stock or 0,
        sold=run.stats.sold,
        oversold=run.stats.oversold,
        doubled=run.stats.doubled,
        answer_ms=percentiles_ms(answers) if answers else {},
        order_ms=percentiles_ms(took) if took else {},
    )


def judge(
    straight: Run, through: Run, outcomes: Mapping[str, Outcome], capacity: int
) -> SinkReport:
    """Return the report. `outcomes` are those of the gateway's ledger."""
    statuses = Counter(outcome.status for outcome in outcomes.values())
    by_customer = {outcome.order.customer_id: outcome.status for outcome in outcomes.values()}
    accepted = {
        name for name, attempt in through.shopping.attempts.items() if attempt.status == _ACCEPTED
    }
    confirmed = {name for name, status in by_customer.items() if status is Status.CONFIRMED}
    in_shop = {made.customer_id for made in through.made}
    report = SinkReport(
        capacity=capacity,
        wanted_rate=round(through.shape.rate),
        straight=figures(straight),
        through=figures(through),
        accepted=len(accepted),
        decided=len(accepted & by_customer.keys()),
        confirmed=len(confirmed),
        rejected=dict(
            Counter(str(o.reason) for o in outcomes.values() if o.status is Status.REJECTED)
        ),
        lost=len(accepted - by_customer.keys()),
        broken=[],
    )
    found = report.through
    for count, words in (
        (report.lost, "accepted orders lost"),
        (found.doubled, "orders doubled in the shop"),
        (found.oversold, "items sold over the stock of the shop"),
        (max(0, found.reached_shop_max_1s - capacity), "orders over the limit at the shop"),
        (statuses[Status.FAILED], "orders in the dead queue"),
        (len(confirmed - in_shop), "confirmed orders that the shop does not have"),
        (len(in_shop - confirmed), "orders of the shop that are not confirmed"),
        (_failed(through), "requests without a proper answer"),
        (int(not accepted), "run without an accepted order: the gateway took none"),
        (int(not straight.made), "run without an order of the shop: it was not up"),
    ):
        if count:
            report.broken.append(f"{count} {words}")
    return report


def _failed(run: Run) -> int:
    return sum(run.failed(attempt) for attempt in run.shopping.attempts.values())


def _orders_per_second(run: Run) -> float:
    """Return the orders that the shop made a second in the spike, while it had any left."""
    begin = run.shopping.began_at + run.shape.before
    end = begin + run.shape.seconds
    if run.stats.stock is not None and run.stats.sold >= run.stats.stock and run.made:
        end = min(end, run.made[-1].at)
    in_spike = sum(begin <= made.at < end for made in run.made)
    return round(in_spike / (end - begin), 1) if end > begin else 0.0
