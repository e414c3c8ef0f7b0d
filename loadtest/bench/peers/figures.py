"""The figures of all rounds, under the keys of bench-peers.json."""

from collections.abc import Mapping, Sequence
from statistics import median

from loadtest.bench.peers.contestants import (
    BARE,
    CONTESTANTS,
    DRAINING,
    GATEWAY,
    PEERS,
    Contestant,
)
from loadtest.bench.peers.drain import DrainResult
from loadtest.bench.peers.intake import OFFERED_RATE, QUEUE_FULL, SOLD_OUT, IntakeResult
from loadtest.measure.windows import fewest_in_window, most_in_window, per_second

Rounds = Sequence[Mapping[str, IntakeResult]]
"""The intake in each round, by the name of the case."""

Drains = Sequence[Mapping[str, DrainResult]]


def figures(rounds: Rounds, drains: Drains) -> dict[str, float]:
    """Return all figures: the median of the rounds, the worst of the windows."""
    found: dict[str, float] = {}
    for other in (BARE, *PEERS):
        found[f"ratio_to_{other.name}"] = _ratio(rounds, GATEWAY.name, other.name)
    for peer in PEERS:
        found[f"{peer.prefix}ratio_to_bare"] = _ratio(rounds, peer.name, BARE.name)
    for refusal in (SOLD_OUT, QUEUE_FULL):
        found[f"{refusal}_per_second"] = round(
            median(turns[refusal].answers.per_second for turns in rounds)
        )
        found[f"{refusal}_ratio_to_bare"] = _ratio(rounds, refusal, BARE.name)
    found["refused_ratio_to_bare"] = min(
        found[f"{refusal}_ratio_to_bare"] for refusal in (SOLD_OUT, QUEUE_FULL)
    )
    for contestant in CONTESTANTS:
        found |= _accepting(contestant, [turns[contestant.name] for turns in rounds])
    for contestant in DRAINING:
        found |= _draining(contestant, [turns[contestant.name] for turns in drains])
    return found


def _ratio(rounds: Rounds, name: str, other: str) -> float:
    """Return the median of the ratios in each round: between rounds the machine's speed varies."""
    ratios = [turns[name].answers.per_second / turns[other].answers.per_second for turns in rounds]
    return round(median(ratios), 3)


def _accepting(contestant: Contestant, turns: Sequence[IntakeResult]) -> dict[str, float]:
    offered = [turn.offered for turn in turns if turn.offered is not None]
    found = {
        "accepted_per_second": round(median(turn.answers.per_second for turn in turns)),
        "p50_ms": round(median(turn.answers.p50_ms for turn in turns), 2),
        "p99_ms": round(median(turn.answers.p99_ms for turn in turns), 2),
        "cpu_us_per_order": round(median(turn.cpu_us for turn in turns), 1),
        f"accepted_per_second_at_{OFFERED_RATE}": round(
            median(one.statuses.get(202, 0) / one.seconds for one in offered)
        ),
        f"p50_ms_at_{OFFERED_RATE}": round(median(one.latency_ms["p50"] for one in offered), 2),
        f"p99_ms_at_{OFFERED_RATE}": round(median(one.latency_ms["p99"] for one in offered), 2),
        f"p99_9_ms_at_{OFFERED_RATE}": round(median(one.latency_ms["p99.9"] for one in offered), 2),
        f"generator_late_p99_ms_at_{OFFERED_RATE}": round(
            median(one.late_ms["p99"] for one in offered), 2
        ),
    }
    return {contestant.prefix + name: value for name, value in found.items()}


def _draining(contestant: Contestant, turns: Sequence[DrainResult]) -> dict[str, float]:
    found = {
        "drain_unpaced_per_second": round(median(per_second(turn.unpaced) for turn in turns)),
        "drain_worst_1s": max(most_in_window(turn.paced, 1.0) for turn in turns),
        "drain_least_1s": min(fewest_in_window(turn.paced, 1.0) for turn in turns),
        "drain_worst_100ms": max(most_in_window(turn.paced, 0.1) for turn in turns),
        "drain_least_100ms": min(fewest_in_window(turn.paced, 0.1) for turn in turns),
    }
    return {contestant.prefix + name: value for name, value in found.items()}
