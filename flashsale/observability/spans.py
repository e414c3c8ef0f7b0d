"""OpenTelemetry spans of an order's way through gateway, broker, consumer and services.

Names and attributes follow the conventions for HTTP and messaging
(https://opentelemetry.io/docs/specs/semconv/). No span holds a customer id, an Idempotency-Key or a
body. An error is recorded by its type only, as a database may quote values in its messages.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flashsale import __version__
from flashsale.broker.port import Delivery
from flashsale.messages.headers import TRACEPARENT
from flashsale.observability.errors import TracingUnavailable

log = structlog.get_logger()

_FLUSH_SECONDS = 3.0

Attributes = Mapping[str, str | int]

_w3c = TraceContextTextMapPropagator()


class Span:
    """An operation, from the creation of this object until `end`."""

    __slots__ = ("_span", "origin")

    def __init__(self, span: trace.Span, origin: SpanContext) -> None:
        self._span = span
        self.origin = origin
        """The context of the parent."""

    @property
    def context(self) -> SpanContext:
        """The context by which other spans refer to this one."""
        return self._span.get_span_context()

    @property
    def recorded(self) -> bool:
        """Whether the sampler has selected this span."""
        return self.context.trace_flags.sampled

    @property
    def traceparent(self) -> str | None:
        """The header that continues the trace in a message; None if the span is not recorded."""
        if not self.recorded:
            return None
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return carrier[TRACEPARENT]

    def set(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        self._span.set_attribute(name, value)

    def link(self, other: "Span") -> None:
        """Add a link to another span."""
        self._span.add_link(other.context)

    def end(self, error: BaseException | str | None = None) -> None:
        """End the span, as failed if there is an error."""
        if error is not None:
            kind = error if isinstance(error, str) else type(error).__name__
            self._span.set_attribute("error.type", kind)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracing:
    """Starts the spans of one process."""

    def __init__(self, processor: SpanProcessor, process: str, system: str) -> None:
        """Pass ended spans to the processor. `system` is the broker's `messaging.system`."""
        self._processor = processor
        self._system = system
        resource = Resource.create(
            {"service.name": f"flashsale-{process}", "service.version": __version__}
        ).merge(OTELResourceDetector().detect())
        self._tracer = _tracer(processor, resource, None)
        # A batch is recorded if one of its orders is, so the sampler does not decide on it.
        self._batches = _tracer(processor, resource, ALWAYS_ON)

    def request(self, method: str, route: str, scheme: str, traceparent: str | None) -> Span:
        """Start the span of a served request; continue the client's trace if it is well-formed."""
        return self._start(
            f"{method} {route}",
            SpanKind.SERVER,
            _remote_context(traceparent),
            {
                "http.request.method": method,
                "http.route": route,
                "url.path": route,
                "url.scheme": scheme,
            },
        )

    def publish(
        self, parent: Span, exchange: str, routing_key: str, message_id: str, body: bytes
    ) -> Span:
        """Start the span of a publish, from the send to the broker's confirm."""
        return self._start(
            f"publish {exchange}",
            SpanKind.PRODUCER,
            trace.set_span_in_context(parent._span, Context()),
            {
                **self._messaging("publish", "send", f"{exchange}:{routing_key}"),
                "messaging.rabbitmq.destination.routing_key": routing_key,
                "messaging.message.id": message_id,
                "messaging.message.body.size": len(body),
            },
        )

    def process(
        self, operation: str, queue: str, delivery: Delivery, since: float | None = None
    ) -> Span | None:
        """Start a span for work on a message, in its trace; None if there is no recorded trace.

        The span starts at `since`, in Unix seconds, or now.
        """
        traceparent = delivery.headers.get(TRACEPARENT)
        if traceparent is None:
            return None
        context = _remote_context(str(traceparent))
        if not _span_context(context).is_valid:
            return None
        span = self._start(
            f"{operation} {queue}",
            SpanKind.CONSUMER,
            context,
            {
                **self._messaging(operation, "process", queue),
                "messaging.message.id": delivery.message_id,
            },
            since,
        )
        return span if span.recorded else None

    def batch(
        self, operation: str, queue: str, count: int, parts: Sequence[Span], since: float
    ) -> Span:
        """Start a span for work on `count` messages at once, in a new trace, at that Unix second.

        Link it to the parents of its recorded parts, and the parts to it.
        """
        began = self._batches.start_span(
            f"{operation} {queue}",
            Context(),
            SpanKind.CONSUMER,
            {
                **self._messaging(operation, "process", queue),
                "messaging.batch.message_count": count,
            },
            [Link(part.origin) for part in parts],
            _nanoseconds(since),
        )
        span = Span(began, trace.INVALID_SPAN_CONTEXT)
        for part in parts:
            part.link(span)
        return span

    def close(self) -> None:
        """Send the remaining spans, for three seconds at most. Blocks."""
        # Without a collector OpenTelemetry's shutdown takes half a minute. A daemon thread does not
        # keep the process alive for so long.
        closing = threading.Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_FLUSH_SECONDS)

    def _start(
        self,
        name: str,
        kind: SpanKind,
        parent: Context,
        attributes: Attributes,
        since: float | None = None,
    ) -> Span:
        started = None if since is None else _nanoseconds(since)
        span = self._tracer.start_span(name, parent, kind, attributes, start_time=started)
        return Span(span, _span_context(parent))

    def _messaging(self, operation: str, kind: str, destination: str) -> Attributes:
        return {
            "messaging.system": self._system,
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            "messaging.destination.name": destination,
        }


def otlp_tracing(process: str, system: str) -> Tracing:
    """Return tracing that sends spans by OTLP in a thread, as the OTEL_... variables configure it.

    See https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Raises
    `TracingUnavailable` if a variable is wrong.
    """
    try:
        tracing = Tracing(
            BatchSpanProcessor(_OutageLoggingExporter(OTLPSpanExporter())), process, system
        )
    except ValueError as error:
        raise TracingUnavailable(f"OTEL_...: {error}") from error
    # The exporter logs each failed attempt, which is logged once below. The tracer logs each
    # header that is too long, and clients send headers of any length.
    for name in ("opentelemetry.exporter", "opentelemetry.trace"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return tracing


class _OutageLoggingExporter(SpanExporter):
    """Logs one line when the collector stops accepting spans, and one when it accepts again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._losing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        losing = result is not SpanExportResult.SUCCESS
        if losing and not self._losing:
            log.warning("spans are lost: the collector does not take them")
        elif self._losing and not losing:
            log.info("the collector takes spans again")
        self._losing = losing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _tracer(processor: SpanProcessor, resource: Resource, sampler: Sampler | None) -> trace.Tracer:
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider.get_tracer("flashsale", __version__)


def _remote_context(traceparent: str | None) -> Context:
    # An empty context, as the default is the context of the running task.
    carrier = {} if traceparent is None else {TRACEPARENT: traceparent}
    return _w3c.extract(carrier, Context())


def _span_context(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
