"""How log events become lines: one renderer for structlog's events and the standard library's."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from keepalived.host.journal import JournalSocket, is_journal
from keepalived.observe.journal import JournalHandler
from keepalived.observe.redact import redact

_HANDLER_NAME = "clkeepalived"
_LEADING = ("timestamp", "level", "event")
_MULTILINE = frozenset({"exception", "stack"})


def configure_logging(*, format: str, level: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (stderr), as the settings of that name say.

    `format` is json (one object a line), console, journal (entries with fields, past the stream),
    or auto: the journal where the stream leads there, colours on a terminal, JSON elsewhere.
    May be called again at any time: loggers that exist already follow.
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    handler: logging.Handler = logging.StreamHandler(stream)
    if format == "console" or (format == "auto" and terminal):
        rendering = _for_people(colors=terminal and not os.environ.get("NO_COLOR"))
    else:
        rendering = _for_machines()
        if format == "journal" or (format == "auto" and _leads_to_journal(stream)):
            handler = JournalHandler(JournalSocket(), stream)
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=rendering))

    root = logging.getLogger()
    for previous in [each for each in root.handlers if each.get_name() == _HANDLER_NAME]:
        root.removeHandler(previous)
        previous.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Levels and formats live in the standard library's logging alone, so what structlog caches
    # here never grows stale.
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _leads_to_journal(stream: TextIO) -> bool:
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return False
    return is_journal(descriptor, os.environ.get("JOURNAL_STREAM", ""))


def _for_machines() -> list[Processor]:
    return [*_common(), structlog.processors.JSONRenderer()]


def _for_people(*, colors: bool) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        # Exceptions are text already, of which structlog 25.1 warns with any other formatter.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [*_common(), _escape_control_characters, renderer]


def _common() -> list[Processor]:
    return [
        _name_foreign_logger,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
        _lead_with_what_matters,
    ]


def _name_foreign_logger(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Say which logger a line came from that is not one of our own events."""
    if not event_dict["_from_structlog"]:
        event_dict["logger"] = event_dict["_record"].name
    return event_dict


def _lead_with_what_matters(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> EventDict:
    return {key: event_dict.pop(key) for key in _LEADING} | dict(event_dict)


def _escape_control_characters(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> EventDict:
    """Keep a server's message from breaking the line or from steering the terminal."""
    for key, value in event_dict.items():
        if isinstance(value, str) and not value.isprintable():
            lines = value.splitlines() if key in _MULTILINE else [value]
            event_dict[key] = "\n".join(map(_printable, lines))
    return event_dict


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
