"""The rule: four answers about a situation, and the queue that fits."""

from dataclasses import dataclass
from typing import Literal

from flashsale.advice import choices
from flashsale.advice.choices import Choice
from flashsale.advice.documented import DOCUMENTED
from flashsale.advice.figures import BrokerFigures, figures

Loss = Literal["nothing", "second"]
Have = Literal["nothing", "database", "redis", "cloud"]
Need = Literal["queue", "latency", "routing", "replay"]

_NAMES = {
    "classic": "rabbitmq_classic",
    "quorum": "rabbitmq_quorum",
    "stream": "rabbitmq_stream",
    "batches": "postgresql_batches",
    "rows": "postgresql_rows",
    "always": "redis_always",
    "everysec": "redis_everysec",
}


@dataclass(frozen=True)
class Situation:
    """The answers to the four questions.

    `loss`: the orders that a power cut may lose: none, or those of the last second. `have`: what
    is there already; `cloud` stands for a cloud and nobody to run servers. `protect`: whether the
    spike would overload the database. `need`: what matters besides.
    """

    loss: Loss
    have: Have
    protect: bool
    need: Need


@dataclass(frozen=True)
class Advice:
    """The queue for a situation. `measured` is None if its figures are from documentation."""

    choice: Choice
    title: str
    reason: str
    measured: BrokerFigures | None


def choose(situation: Situation) -> Choice:
    """Return the choice for a situation. What it needs counts before what it has."""
    safe = situation.loss == "nothing"
    match situation:
        case Situation(need="replay"):
            return choices.STREAM
        case Situation(need="routing", have="cloud"):
            return choices.QUORUM_ROUTING_MANAGED
        case Situation(need="routing"):
            return choices.QUORUM_ROUTING
        case Situation(need="latency"):
            return choices.LATENCY_ALWAYS if safe else choices.LATENCY_EVERYSEC
        case Situation(have="cloud"):
            return choices.SQS
        case Situation(have="redis"):
            return choices.REDIS_ALWAYS if safe else choices.REDIS_EVERYSEC
        case Situation(have="database", protect=False):
            return choices.POSTGRESQL
        case Situation(have="database"):
            return choices.QUORUM_APART
        case _:
            return choices.QUORUM


def advise(situation: Situation) -> Advice:
    """Return the advice for a situation, its reason with the measured figures."""
    return advice_on(choose(situation))


def advice_on(choice: Choice) -> Advice:
    """Return the advice to take this choice."""
    known = figures()
    reason = choice.reason.format(**{short: known[name] for short, name in _NAMES.items()})
    measured = known.get(choice.name)
    title = measured.title if measured is not None else DOCUMENTED[choice.name].title
    return Advice(choice, title, reason, measured)


@dataclass(frozen=True)
class Asked:
    """A situation that people ask about."""

    title: str
    situation: Situation


ASKED = (
    Asked("Orders that must not be lost", Situation("nothing", "nothing", False, "queue")),
    Asked("A small team with a database", Situation("nothing", "database", False, "queue")),
    Asked(
        "The spike hits the very database to protect",
        Situation("nothing", "database", True, "queue"),
    ),
    Asked("The lowest latency", Situation("second", "nothing", True, "latency")),
    Asked("Redis is there already", Situation("nothing", "redis", True, "queue")),
    Asked("Many services, routing and delays", Situation("nothing", "nothing", True, "routing")),
    Asked("Replay and many readers", Situation("nothing", "nothing", True, "replay")),
    Asked("No operations, in a cloud", Situation("nothing", "cloud", True, "queue")),
)
