"""The course of one run, for the picture."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from loadtest.demo.sink.figures import Run
from loadtest.receiver.timeline import TENTH

STEP_SECONDS = 0.5
_STEPS_A_SECOND = 2


@dataclass(frozen=True)
class Course:
    """Rates and median seconds, one for each half second; None where nobody came.

    A rate is the number in the second before, so that none is over what any second has. The medians
    are of those who came in the half second before.
    """

    at: list[float]
    offered: list[float]
    reached_shop: list[float]
    orders: list[float]
    refused: list[float]
    errors: list[float]
    answer_seconds: list[float | None]
    order_seconds: list[float | None]


def course(run: Run) -> Course:
    """Return the course of a run, from its first order to the last that happened."""
    attempts = run.shopping.attempts
    start = run.shopping.began_at
    shop_starts = run.stats.started_at - start
    reached = [
        (shop_starts + tenth * TENTH, count)
        for tenth, count in enumerate(run.stats.arrivals_by_tenth)
        if count
    ]
    answers = [(each.due + each.seconds - start, each) for each in attempts.values()]
    made = [(each.at - start, attempts[each.customer_id].due - start) for each in run.made]
    last = max(
        [at for at, _ in reached] + [at for at, _ in answers] + [at for at, _ in made], default=0.0
    )
    steps = int(last / STEP_SECONDS) + _STEPS_A_SECOND
    return Course(
        at=[(number + 1) * STEP_SECONDS for number in range(steps)],
        offered=_rates(((each.sent - start, 1) for each in attempts.values()), steps),
        reached_shop=_rates(reached, steps),
        orders=_rates(((at, 1) for at, _ in made), steps),
        refused=_rates(((at, 1) for at, each in answers if run.refused(each)), steps),
        errors=_rates(((at, 1) for at, each in answers if run.failed(each)), steps),
        answer_seconds=_medians(
            ((each.due - start, each.seconds) for each in attempts.values()), steps
        ),
        order_seconds=_medians(((due, at - due) for at, due in made), steps),
    )


def _rates(events: Iterable[tuple[float, int]], steps: int) -> list[float]:
    counts = [0] * steps
    for moment, count in events:
        counts[_step(moment, steps)] += count
    return [
        float(sum(counts[max(0, step + 1 - _STEPS_A_SECOND) : step + 1])) for step in range(steps)
    ]


def _medians(values: Iterable[tuple[float, float]], steps: int) -> list[float | None]:
    found: list[list[float]] = [[] for _ in range(steps)]
    for moment, value in values:
        found[_step(moment, steps)].append(value)
    return [median(each) if each else None for each in found]


def _step(moment: float, steps: int) -> int:
    return min(steps - 1, max(0, int(moment / STEP_SECONDS)))
