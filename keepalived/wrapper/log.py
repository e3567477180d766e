"""Prints the log records of libraries among the lines of `exec`.

By default, Python writes them to stderr itself, and blocks until they are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from keepalived.observe.redact import redacted


class DisplayHandler(logging.Handler):
    """Prints warnings and errors as lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record. Never raises."""
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                message += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
            self._say(redacted(f"{record.levelname.lower()}: {' '.join(message.split())}"))
        except Exception:  # noqa: S110 - as logging.Handler requires: a log line must not end the program
            pass
