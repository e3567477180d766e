"""Set up logging: one renderer for structlog's events and the standard library's records."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from keepalived.host.background_writer import DescriptorSink, Sink
from keepalived.host.journal import JournalSocket, is_journal
from keepalived.observe.handlers import BackgroundHandler, JournalSink, StreamSink
from keepalived.observe.redact import redact
from keepalived.settings.problems import printable

_HANDLER_NAME = "clkeepalived"
_LEADING = ("timestamp", "level", "event")
_MULTILINE = frozenset({"exception", "stack"})


def configure_logging(*, format: str, level: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (by default stderr).

    `format` and `level` are the settings of the same names. `format` is json (one object a line),
    console, journal (entries with fields, not through the stream), or auto: the journal if the
    stream leads there, colours on a terminal, otherwise JSON. May be called again at any time;
    existing loggers follow. Lines are written in the background, except to a stream in memory.
    """
    stream = stream or sys.stderr
    if stream is None:  # it was closed before this process started
        with open(os.devnull, "w") as nowhere:
            configure_logging(format=format, level=level, stream=nowhere)
        return
    terminal = stream.isatty()
    is_for_journal = format == "journal"
    if format == "console" or (format == "auto" and terminal):
        rendering = _for_people(colors=terminal and not os.environ.get("NO_COLOR"))
    else:
        rendering = [*_common(), structlog.processors.JSONRenderer()]
        if format == "auto" and (descriptor := _descriptor_of(stream)) is not None:
            is_for_journal = is_journal(descriptor, os.environ.get("JOURNAL_STREAM", ""))

    root = logging.getLogger()
    previous = [each for each in root.handlers if each.get_name() == _HANDLER_NAME]
    handler = _handler(stream, previous, is_for_journal=is_for_journal)
    handler.set_name(_HANDLER_NAME)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=rendering))
    root.addHandler(handler)
    for other in previous:
        if other is not handler:
            root.removeHandler(other)
            other.close()
    root.setLevel(level.upper())
    # Levels and formats are held by the standard library only, so structlog's cache stays valid.
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def log_python_s_own() -> None:
    """Log what Python would otherwise write to stderr itself and block until it is read."""
    logging.captureWarnings(capture=True)
    sys.unraisablehook = lambda found: _log_unhandled(str(found.err_msg or ""), found.exc_value)
    threading.excepthook = lambda found: _log_unhandled(str(found.thread), found.exc_value)


def _log_unhandled(where: str, error: BaseException | None) -> None:
    logging.getLogger(__name__).error("unhandled exception: %s", where, exc_info=error)


def _handler(
    stream: TextIO, previous: list[logging.Handler], *, is_for_journal: bool
) -> logging.Handler:
    """Return a handler for a stream; the existing one if it already writes there."""
    descriptor = _descriptor_of(stream)
    if descriptor is None and not is_for_journal:
        return logging.StreamHandler(stream)
    file: object = id(stream)
    if descriptor is not None:
        found = os.fstat(descriptor)
        file = found.st_dev, found.st_ino
    destination = (is_for_journal, file)
    for each in previous:
        # A second handler would interleave with lines that the first has not written yet.
        if isinstance(each, BackgroundHandler) and each.destination == destination:
            return each
    sink: Sink = StreamSink(stream) if descriptor is None else DescriptorSink(descriptor)
    if is_for_journal:
        sink = JournalSink(JournalSocket(), sink)
    return BackgroundHandler(sink, destination)


def _descriptor_of(stream: TextIO) -> int | None:
    """Return a stream's descriptor, or None for a stream in memory."""
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None


def _for_people(*, colors: bool) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        # Exceptions are already text; structlog 25.1 warns about that with any other formatter.
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
        _put_leading_keys_first,
    ]


def _name_foreign_logger(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Add the logger's name to records that are not structlog events."""
    if not event_dict["_from_structlog"]:
        event_dict["logger"] = event_dict["_record"].name
    return event_dict


def _put_leading_keys_first(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> EventDict:
    return {key: event_dict.pop(key) for key in _LEADING} | dict(event_dict)


def _escape_control_characters(
    _logger: WrappedLogger, _method: str, event_dict: EventDict
) -> EventDict:
    """Keep a server's message from breaking the line or from controlling the terminal."""
    for key, value in event_dict.items():
        if isinstance(value, str) and not value.isprintable():
            lines = value.splitlines() if key in _MULTILINE else [value]
            event_dict[key] = "\n".join(map(printable, lines))
    return event_dict
