"""The metrics of deliveries: each order of a request counted by its answer, the breaker's state."""

from prometheus_client import CollectorRegistry

from flashsale.domain.delivery.answers import (
    Answer,
    Busy,
    Refused,
    Taken,
    Trouble,
    TryAgain,
    Undeliverable,
)
from flashsale.domain.delivery.breaker import BreakerState
from flashsale.domain.order_states import Reason
from flashsale.observability.delivery_metrics import DeliveryMetrics


def test_each_order_of_a_request_is_counted_by_its_answer() -> None:
    metrics = DeliveryMetrics(registry := CollectorRegistry())
    one_of_each: list[Answer] = [
        Taken("A"),
        Refused(Reason.SOLD_OUT),
        Busy("429"),
        Undeliverable("404"),
        *(TryAgain("", trouble=trouble) for trouble in Trouble),
    ]
    metrics.answered([*one_of_each, Taken(None)], 0.25)
    kinds = ["refused", "busy", "undeliverable", *(trouble.value for trouble in Trouble)]

    def count(answer: str) -> float | None:
        return registry.get_sample_value("flashsale_sink_attempts_total", {"answer": answer})

    assert count("taken") == 2
    assert {kind: count(kind) for kind in kinds} == dict.fromkeys(kinds, 1)
    assert registry.get_sample_value("flashsale_sink_request_seconds_count") == 1
    assert registry.get_sample_value("flashsale_sink_request_seconds_sum") == 0.25


def test_the_breaker_is_in_one_state_at_a_time() -> None:
    metrics = DeliveryMetrics(registry := CollectorRegistry())

    def states() -> dict[str, float | None]:
        name = "flashsale_sink_breaker_state"
        return {s.value: registry.get_sample_value(name, {"state": s.value}) for s in BreakerState}

    assert states() == {"closed": 1, "open": 0, "probing": 0, "ramping": 0}
    metrics.breaker_is(BreakerState.PROBING)
    assert states() == {"closed": 0, "open": 0, "probing": 1, "ramping": 0}
