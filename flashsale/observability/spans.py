"""Spans by OpenTelemetry: what is told of an order on its way.

Names and attributes are those of its conventions for HTTP and for messaging
(https://opentelemetry.io/docs/specs/semconv/). No span holds a customer's id, an Idempotency-Key or
a body; an error is told by its type alone, as the words of a database may quote what it was given.
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

_LAST_SPANS_SECONDS = 3.0

Attributes = Mapping[str, str | int]

_w3c = TraceContextTextMapPropagator()


class Span:
    """Something under way, from its making until `end`."""

    __slots__ = ("_span", "origin")

    def __init__(self, span: trace.Span, origin: SpanContext) -> None:
        self._span = span
        self.origin = origin
        """What it came from."""

    @property
    def context(self) -> SpanContext:
        """What others refer to it by."""
        return self._span.get_span_context()

    @property
    def recorded(self) -> bool:
        """Whether the sampler wants it."""
        return self.context.trace_flags.sampled

    @property
    def traceparent(self) -> str | None:
        """What to send along, so that what follows is part of it; None if it is not recorded."""
        if not self.recorded:
            return None
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return carrier[TRACEPARENT]

    def set(self, name: str, value: str | int) -> None:
        """Tell something more of it."""
        self._span.set_attribute(name, value)

    def link(self, other: "Span") -> None:
        """Tell that it has to do with another one."""
        self._span.add_link(other.context)

    def end(self, error: BaseException | str | None = None) -> None:
        """It is over, by that error if one is given."""
        if error is not None:
            kind = error if isinstance(error, str) else type(error).__name__
            self._span.set_attribute("error.type", kind)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracing:
    """Makes the spans of one process."""

    def __init__(self, processor: SpanProcessor, process: str, system: str) -> None:
        """Give ended spans to the processor. `system` is what the conventions call the broker."""
        self._processor = processor
        self._system = system
        resource = Resource.create(
            {"service.name": f"flashsale-{process}", "service.version": __version__}
        ).merge(OTELResourceDetector().detect())
        self._tracer = _tracer(processor, resource, None)
        # A batch is worth telling of if one of its orders is, whatever the sampler thinks of it.
        self._batches = _tracer(processor, resource, ALWAYS_ON)

    def request(self, method: str, route: str, scheme: str, traceparent: str | None) -> Span:
        """A request that is served; it goes on with the client's trace, if that is well-formed."""
        return self._start(
            f"{method} {route}",
            SpanKind.SERVER,
            _remote(traceparent),
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
        """A message on its way to the broker, until the confirm."""
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
        """Work on a message, in the message's own trace; None if it is in none, or unrecorded.

        It began at `since`, in Unix seconds, or now.
        """
        traceparent = delivery.headers.get(TRACEPARENT)
        if traceparent is None:
            return None
        context = _remote(str(traceparent))
        if not _of(context).is_valid:
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
        """Work on `count` messages at once, since that Unix second; a trace of its own.

        It is linked to where its recorded parts came from, and these are linked to it.
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
        """Send off what is left, for as long as three seconds. Blocks."""
        # OpenTelemetry's own way waits for half a minute if nobody takes them. A daemon thread
        # ends with the process.
        closing = threading.Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        closing.start()
        closing.join(_LAST_SPANS_SECONDS)

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
        return Span(span, _of(parent))

    def _messaging(self, operation: str, kind: str, destination: str) -> Attributes:
        return {
            "messaging.system": self._system,
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            "messaging.destination.name": destination,
        }


def spans_by_otlp(process: str, system: str) -> Tracing:
    """Spans sent by a thread of their own to where OpenTelemetry's own variables say.

    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. Raises
    `TracingUnavailable` if one of them is wrong.
    """
    try:
        tracing = Tracing(BatchSpanProcessor(_InOurWords(OTLPSpanExporter())), process, system)
    except ValueError as error:
        raise TracingUnavailable(f"OTEL_...: {error}") from error
    # One tells of each try that fails, where ours is the line that is kept; the other of each
    # header that is too long, and those are a client's.
    for name in ("opentelemetry.exporter", "opentelemetry.trace"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return tracing


class _InOurWords(SpanExporter):
    """An exporter whose collector may be away: one line when it goes, and one when it is back."""

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


def _remote(traceparent: str | None) -> Context:
    # Without a context of its own, it would be that of whatever runs just now.
    carrier = {} if traceparent is None else {TRACEPARENT: traceparent}
    return _w3c.extract(carrier, Context())


def _of(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
