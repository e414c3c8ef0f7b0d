"""Logs: one line an event on standard error, for people or as JSON."""

import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Literal

import structlog

log_fields: ContextVar[Callable[[], Mapping[str, str]] | None] = ContextVar("log_fields")
"""A function that returns the fields of the current request. It is called only for a line that is
written, so that requests without a log line cost nothing."""


def configure_logs(form: Literal["console", "json"]) -> None:
    """Set up structlog for this process, and log the warnings of libraries in the same form."""
    shared: list[structlog.typing.Processor] = [
        _add_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            # The other formatters show local variables, which may hold bodies and secrets.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    # pika logs a lost connection five times; the broker adapter logs it once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _add_fields(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    fields = log_fields.get(None)
    return event if fields is None else {**fields(), **event}
