"""Report rising numbers from a pipe to the daemon.

The pipe is always read to its end: its writer (such as pv, in front of the upload itself) would be
killed by SIGPIPE if the reader closed it early.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable

import click

from keepalived.cli.progress import read_value
from keepalived.cli.socket_client import RequestRefused, Unreachable

Body = dict[str, int]

_CHUNK = 65536
_LONGEST_LINE = 64
_SPACING_SECONDS = 0.5
_AGAIN_SECONDS = 1.0
_REPEAT_SECONDS = 5.0
_RETRY_SECONDS = 30.0
_EXIT_USAGE = 2
_ENDS_OF_LINES = re.compile(rb"[\r\n]+")
_NOT_NUMBERS = (
    "the input has no numbers; pv writes them to stderr: pv -n FILE 2> >(clkeepalived progress "
    "ID -) | …"
)


def report_stream(descriptor: int, report: Callable[[Body], None]) -> int:
    """Report the numbers that arrive on a descriptor until its end; return the exit code.

    At the end of the stream, retry for 30 s if the daemon is away when the last one is reported.
    """
    reporter = _Reporter(report)
    rest, is_over, has_warned = b"", False, False
    while not is_over:
        ready, _, _ = select.select([descriptor], [], [], reporter.wait())
        if ready:
            chunk = os.read(descriptor, _CHUNK)
            is_over = not chunk
            # The end of the stream completes the last line.
            *lines, rest = _ENDS_OF_LINES.split(rest + (chunk or b"\n"))
            if len(rest) > _LONGEST_LINE:
                lines.append(rest)
                rest = b""
            for line in filter(bytes.strip, lines):
                body = read_value(line.decode("ascii", "replace"))
                if body is not None:
                    reporter.add(body)
                elif not has_warned:
                    has_warned = True
                    click.echo(f"Warning: {_NOT_NUMBERS}", err=True)
        reporter.report_if_due()
    give_up = time.monotonic() + _RETRY_SECONDS
    while reporter.is_pending and not reporter.report_now() and time.monotonic() < give_up:
        time.sleep(_AGAIN_SECONDS)
    return _EXIT_USAGE if has_warned and reporter.furthest is None else reporter.exit_code


class _Reporter:
    """Reports the furthest value read, at a limited rate, and repeats it periodically.

    A hold with a time limit expires without reports, so it is repeated while numbers arrive that do
    not rise. `is_pending` is whether the furthest value is still to be reported.
    """

    def __init__(self, report: Callable[[Body], None]) -> None:
        self.exit_code = 0
        self.is_pending = False
        self.furthest: Body | None = None
        self._report = report
        self._share = -1.0
        self._is_fresh = False
        self._next_at = 0.0
        self._last_message = ""

    def add(self, body: Body) -> None:
        """Record a value from the stream."""
        self._is_fresh = True
        share = _share(body)
        if share > self._share:
            self._share, self.furthest, self.is_pending = share, body, True

    def wait(self) -> float | None:
        """Return the seconds until the next report is due, or None if none is."""
        return max(0.0, self._next_at - time.monotonic()) if self.is_pending else None

    def report_if_due(self) -> None:
        """Report a new value as soon as the rate allows, and an old one periodically."""
        now = time.monotonic()
        repeats = self._is_fresh and now >= self._next_at + _REPEAT_SECONDS
        if (self.is_pending and now >= self._next_at) or repeats:
            self.report_now()

    def report_now(self) -> bool:
        """Report the furthest value; return whether another attempt would be useless."""
        if self.furthest is None:
            return True
        self._is_fresh = False
        try:
            self._report(self.furthest)
        except (Unreachable, RequestRefused) as error:
            self.exit_code = error.exit_code
            if error.message != self._last_message:
                self._last_message = error.message
                error.show()
            if isinstance(error, Unreachable):
                self._next_at = time.monotonic() + _AGAIN_SECONDS
                return False
        else:
            self.exit_code, self._last_message = 0, ""
        self.is_pending = False
        self._next_at = time.monotonic() + _SPACING_SECONDS
        return True


def _share(body: Body) -> float:
    if "progress" in body:
        return float(body["progress"])
    return 100 * body["bytes_done"] / body["bytes_total"] if body["bytes_total"] else 0.0
