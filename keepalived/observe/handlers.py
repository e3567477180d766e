"""Log handlers that write to a descriptor or to the journal, never in the event loop."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TextIO

from keepalived.host.background_writer import BackgroundWriter, Sink
from keepalived.host.journal import JournalSocket
from keepalived.observe.journal import fields_of

FLUSH_SECONDS = 2.0
"""Time limit at process exit for writing lines that nothing reads."""


class BackgroundHandler(logging.Handler):
    """Formats records at once, and writes the lines in the background.

    Lines are dropped while nothing reads them; their number is logged as `log_entries_lost` once
    there is room again. `destination` tells handlers for different files apart.
    """

    def __init__(self, sink: Sink, destination: object = None) -> None:
        super().__init__()
        self.destination = destination
        self._writer = BackgroundWriter(sink, self._losses)

    def emit(self, record: logging.LogRecord) -> None:
        """Put one line into the queue. Never raises."""
        try:
            line = self.format(record)
        except Exception:  # as logging.Handler requires: a log line must not end the program
            self._writer.lose()
        else:
            self._writer.put(line)

    def flush(self) -> None:
        """Wait briefly for unwritten lines. Called when Python exits."""
        self._writer.flush(FLUSH_SECONDS)

    def close(self) -> None:
        """Write the remaining lines in the background, and accept no more."""
        self._writer.finish()
        super().close()

    def _losses(self, count: int) -> str:
        record = logging.LogRecord("clkeepalived", logging.WARNING, "", 0, "", None, None)
        record.__dict__.update(
            msg={"event": "log_entries_lost", "count": count}, _logger=None, _name="warning"
        )
        return self.format(record)


@dataclass(eq=False, slots=True)
class StreamSink:
    """Writes lines to a stream in memory."""

    stream: TextIO

    def write(self, line: str) -> None:
        """Write a line."""
        self.stream.write(line + "\n")

    def close(self) -> None:
        """Leave the stream open: it belongs to the caller."""


@dataclass(eq=False, slots=True)
class JournalSink:
    """Sends JSON objects to the journal as entries with fields.

    Without a journal, they go to `fallback` as lines.
    """

    journal: JournalSocket
    fallback: Sink

    def write(self, line: str) -> None:
        """Send one event. Raises OSError."""
        try:
            self.journal.send(fields_of(json.loads(line)))
        except OSError:
            self.fallback.write(line)

    def close(self) -> None:
        """Close the socket and the fallback."""
        self.journal.close()
        self.fallback.close()
