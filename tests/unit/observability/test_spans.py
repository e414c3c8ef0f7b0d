"""Spans, as OpenTelemetry's in-memory exporter receives them."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import (
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from structlog.testing import capture_logs

from consumer.batch_tracing import batch_spans
from flashsale.broker import Delivery
from flashsale.domain.order_states import Status
from flashsale.domain.orders import Order, Outcome
from flashsale.messages.headers import copied_headers, trace_headers
from flashsale.messages.orders import encode_order
from flashsale.observability.errors import TracingUnavailable
from flashsale.observability.spans import Tracing, _OutageLoggingExporter, otlp_tracing
from flashsale.observability.tracing import open_tracing
from tests.conftest import an_order

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def recorder() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(recorder: InMemorySpanExporter) -> Iterator[Tracing]:
    opened = Tracing(SimpleSpanProcessor(recorder), "test", "rabbitmq")
    yield opened
    opened.close()


def a_delivery(
    traceparent: str | None = None, order: Order | None = None
) -> tuple[Delivery, Order]:
    order = order or an_order()
    return Delivery(1, encode_order(order), order.id, trace_headers(traceparent)), order


async def test_tracing_off_creates_no_spans() -> None:
    async with open_tracing(False, "gateway", "memory") as tracing:
        assert tracing is None


def test_a_copy_of_a_message_keeps_its_trace_and_nothing_else() -> None:
    assert copied_headers({"traceparent": SAMPLED, "attempts": 3}) == {"traceparent": SAMPLED}
    assert copied_headers({"attempts": 3}) == {}
    assert trace_headers(None) == {}


def test_an_unsampled_span_is_not_carried_on(
    tracing: Tracing, recorder: InMemorySpanExporter
) -> None:
    span = tracing.request("POST", "/orders", "http", UNSAMPLED)
    assert (span.recorded, span.traceparent) == (False, None)
    span.end()
    for traceparent in (None, UNSAMPLED, "nonsense"):
        assert tracing.process("handle", "mail", a_delivery(traceparent)[0]) is None
    assert recorder.get_finished_spans() == ()


def test_a_sampled_span_is_carried_on_in_the_same_trace(tracing: Tracing) -> None:
    request = tracing.request("POST", "/orders", "http", SAMPLED)
    publish = tracing.publish(request, "sale.orders", "order", "1", b"")
    assert publish.traceparent is not None
    assert publish.traceparent.split("-")[1] == TRACE
    assert publish.traceparent.split("-")[2] != PARENT
    assert len(publish.traceparent) == 55, "what the outbox has room for"


def test_the_sampler_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, recorder: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tracing = Tracing(SimpleSpanProcessor(recorder), "test", "rabbitmq")
    assert not tracing.request("POST", "/orders", "http", SAMPLED).recorded
    with batch_spans(tracing, "sale.orders", [a_delivery(SAMPLED)], time.time()) as spans:
        assert spans.traceparents == {}
    assert recorder.get_finished_spans() == ()


def test_a_span_records_an_error_by_its_type_only(
    tracing: Tracing, recorder: InMemorySpanExporter
) -> None:
    tracing.request("POST", "/orders", "http", None).end(ValueError("of customer jane"))
    [span] = recorder.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert "jane" not in span.to_json()


def test_a_batch_is_linked_to_its_traced_orders_and_they_to_it(
    tracing: Tracing, recorder: InMemorySpanExporter
) -> None:
    traced, untraced = a_delivery(SAMPLED), a_delivery()
    _, order = traced
    released_at = time.time() - 5
    # An order may be twice in a batch: redelivered, and sent again under its key.
    batch = [untraced, traced, a_delivery(SAMPLED, order)]
    with batch_spans(tracing, "sale.orders", batch, released_at) as spans:
        assert set(spans.traceparents) == {order.id}
        spans.record([Outcome(order, Status.REJECTED, "sold_out")])
    decide, whole = recorder.get_finished_spans()
    assert (decide.name, whole.name) == ("decide sale.orders", "sell sale.orders")
    assert decide.parent is not None
    assert decide.parent.span_id == int(PARENT, 16)
    assert decide.start_time == whole.start_time == int(released_at * 1e9)
    assert [link.context.span_id for link in whole.links] == [int(PARENT, 16)]
    assert [link.context for link in decide.links] == [whole.context]
    assert whole.parent is None
    assert whole.attributes is not None
    assert whole.attributes["messaging.batch.message_count"] == 3
    assert decide.attributes is not None
    assert decide.attributes["flashsale.order.reason"] == "sold_out"


def test_a_batch_without_a_traced_order_has_no_span(
    tracing: Tracing, recorder: InMemorySpanExporter
) -> None:
    with batch_spans(tracing, "sale.orders", [a_delivery(), a_delivery()], 1.0) as spans:
        assert spans.traceparents == {}
    assert recorder.get_finished_spans() == ()


def test_the_span_of_a_failed_batch_has_its_error_type(
    tracing: Tracing, recorder: InMemorySpanExporter
) -> None:
    def fail() -> None:
        with batch_spans(tracing, "sale.orders", [a_delivery(SAMPLED)], 1.0):
            raise TimeoutError("after jane")

    with pytest.raises(TimeoutError):
        fail()
    for span in recorder.get_finished_spans():
        assert span.attributes is not None
        assert span.attributes["error.type"] == "TimeoutError"


def test_the_service_name_is_the_process_unless_the_environment_sets_it(
    monkeypatch: pytest.MonkeyPatch, recorder: InMemorySpanExporter
) -> None:
    for expected in ("flashsale-test", "my-shop"):
        tracing = Tracing(SimpleSpanProcessor(recorder), "test", "rabbitmq")
        tracing.request("POST", "/orders", "http", None).end()
        assert recorder.get_finished_spans()[-1].resource.attributes["service.name"] == expected
        monkeypatch.setenv("OTEL_SERVICE_NAME", "my-shop")


def test_a_wrong_opentelemetry_variable_makes_tracing_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(TracingUnavailable, match=r"OTEL_.*max_queue_size"):
        otlp_tracing("test", "rabbitmq")


class Collector(SpanExporter):
    """An exporter that gives the result that the test sets."""

    answer = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.answer


def test_the_loss_and_the_return_of_a_collector_are_logged_once_each() -> None:
    collector = Collector()
    exporter = _OutageLoggingExporter(collector)
    with capture_logs() as logs:
        for answer in ("SUCCESS", "FAILURE", "FAILURE", "SUCCESS", "SUCCESS", "FAILURE"):
            collector.answer = SpanExportResult[answer]
            exporter.export(())
    assert [line["event"] for line in logs] == [
        "spans are lost: the collector does not take them",
        "the collector takes spans again",
        "spans are lost: the collector does not take them",
    ]


def test_close_waits_for_the_last_spans_no_longer_than_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    class Hanging(SimpleSpanProcessor):
        def shutdown(self) -> None:
            released.wait(60)

    monkeypatch.setattr("flashsale.observability.spans._FLUSH_SECONDS", 0.1)
    tracing = Tracing(Hanging(InMemorySpanExporter()), "test", "rabbitmq")
    started = time.monotonic()
    tracing.close()
    assert time.monotonic() - started < 5
    released.set()


def test_opentelemetrys_own_lines_on_a_dead_collector_are_not_logged() -> None:
    otlp_tracing("test", "rabbitmq").close()
    exporter = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    assert not logging.getLogger(exporter).isEnabledFor(logging.ERROR)
