"""Show the demo: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from keepalived.demo.uploads import DemoUpload
from keepalived.demo.verdict import ENDS, HEADINGS, Fact, Summary
from keepalived.simulator.resources import SessionEvent

MARKS = {True: "ok", False: "FAILED"}

_MARK_WIDTH = max(map(len, MARKS.values()))
_GAP = 2


class Life(NamedTuple):
    """A session's state on the server: the seconds it has left, or what it ended as."""

    left: float | None = None
    ended: SessionEvent | None = None


class Result(NamedTuple):
    """The result of one upload: a summary and its facts."""

    summary: Summary
    findings: Sequence[Fact]


class Screen(Protocol):
    """Shows uploads while they run (inside its `with` block), and then the results."""

    def __enter__(self) -> Screen: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, uploads: Sequence[DemoUpload]) -> None:
        """Show the current state. Called several times a second."""

    def conclude(self, results: Sequence[Result]) -> None:
        """Show every fact with its evidence, and the summary of each upload."""


class Lines:
    """Prints a line for each change in an upload's activity or its session's state."""

    def __init__(self, life: Callable[[DemoUpload], Life]) -> None:
        self._life = life
        self._began = 0.0
        self._printed: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Lines:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def show(self, uploads: Sequence[DemoUpload]) -> None:
        """Print the changes."""
        for upload in uploads:
            if not upload.session_id and not upload.trouble:
                continue
            ended = self._life(upload).ended
            if ended not in (None, SessionEvent.COMPLETED):
                self._print_change(upload, "session", f"{ENDS[ended]} on the server")
            trouble = f": {upload.trouble}" if upload.trouble else ""
            self._print_change(upload, "uploader", f"{upload.doing}{trouble}")

    def conclude(self, results: Sequence[Result]) -> None:
        """Print facts and summaries in columns."""
        claims = max(len(each.claim) for result in results for each in result.findings)
        for result in results:
            print(f"\n{result.summary.upload}")
            for claim, holds, evidence in result.findings:
                print(_row((MARKS[holds], claim, evidence), (_MARK_WIDTH, claims), indent=_GAP))
        print()
        table = [HEADINGS, *(result.summary for result in results)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            print(_row(line, widths))

    def _print_change(self, upload: DemoUpload, about: str, state: str) -> None:
        if self._printed.get((upload.name, about)) != state:
            self._printed[upload.name, about] = state
            seconds = time.monotonic() - self._began
            print(f"{seconds:5.1f} s  {upload.name:18}{state}", flush=True)


def screen_for(
    uploads: Sequence[DemoUpload], life: Callable[[DemoUpload], Life], lifetime: float
) -> Screen:
    """Return the screen for standard output. `lifetime` is an idle session's, in seconds."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return Lines(life)
    from keepalived.demo.terminal import TerminalScreen

    return TerminalScreen(uploads, life, lifetime)


def _row(cells: Sequence[str], widths: Sequence[int], indent: int = 0) -> str:
    """Return a line of columns. The last column needs no width."""
    filled = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return " " * indent + (" " * _GAP).join([*filled, *cells[len(widths) :]]).rstrip()
