"""What is seen of the play: a table that lives on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from keepalived.demo.uploads import DemoUpload
from keepalived.demo.verdict import ENDS, HEADINGS, Fact, Summary
from keepalived.simulator.resources import SessionEvent

MARKS = {True: "ok", False: "NOT SO"}

_MARK_WIDTH = max(map(len, MARKS.values()))
_GAP = 2


class Life(NamedTuple):
    """How a session stands on the server: the seconds it has left, or what it ended as."""

    left: float | None = None
    ended: SessionEvent | None = None


class Result(NamedTuple):
    """What is found of one upload, in short and fact by fact."""

    summary: Summary
    findings: Sequence[Fact]


class Screen(Protocol):
    """Shows uploads while they go on (inside its `with` block), and then what they prove."""

    def __enter__(self) -> Screen: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, uploads: Sequence[DemoUpload]) -> None:
        """Show how things are now. Called several times a second."""

    def conclude(self, results: Sequence[Result]) -> None:
        """Show every fact with its evidence, and what became of each upload."""


class Lines:
    """A line for each change of what an upload is doing, or of what its session is."""

    def __init__(self, life: Callable[[DemoUpload], Life]) -> None:
        self._life = life
        self._began = 0.0
        self._said: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Lines:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def show(self, uploads: Sequence[DemoUpload]) -> None:
        """Say what has changed."""
        for upload in uploads:
            if not upload.session_id and not upload.trouble:
                continue
            ended = self._life(upload).ended
            if ended not in (None, SessionEvent.COMPLETED):
                self._say(upload, "session", f"{ENDS[ended]} on the server")
            trouble = f": {upload.trouble}" if upload.trouble else ""
            self._say(upload, "uploader", f"{upload.doing}{trouble}")

    def conclude(self, results: Sequence[Result]) -> None:
        """Print it in columns."""
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

    def _say(self, upload: DemoUpload, about: str, words: str) -> None:
        if self._said.get((upload.name, about)) != words:
            self._said[upload.name, about] = words
            seconds = time.monotonic() - self._began
            print(f"{seconds:5.1f} s  {upload.name:18}{words}", flush=True)


def screen_for(
    uploads: Sequence[DemoUpload], life: Callable[[DemoUpload], Life], lifetime: float
) -> Screen:
    """Return what suits standard output. `lifetime` is that of an idle session, in seconds."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return Lines(life)
    from keepalived.demo.terminal import TerminalScreen

    return TerminalScreen(uploads, life, lifetime)


def _row(cells: Sequence[str], widths: Sequence[int], indent: int = 0) -> str:
    """Return a line of columns. The last column may go without a width."""
    filled = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return " " * indent + (" " * _GAP).join([*filled, *cells[len(widths) :]]).rstrip()
