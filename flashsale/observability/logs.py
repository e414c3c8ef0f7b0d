"""Logs: one line an event, for people or as JSON, on standard error."""

import logging
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Literal

import structlog

log_fields: ContextVar[Callable[[], Mapping[str, str]] | None] = ContextVar("log_fields")
"""Tells what a line is about, such as its request. Asked only when there is a line to write: a
spike of requests that log nothing pays for nothing."""


def configure_logs(form: Literal["console", "json"]) -> None:
    """Set structlog up for this process, and have the libraries' warnings in the same form."""
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
            # The other formatters show local variables: bodies and secrets among them.
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
    # pika tells of every lost connection in five ways; ours is the one that is kept.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _add_fields(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    fields = log_fields.get(None)
    return event if fields is None else {**fields(), **event}
