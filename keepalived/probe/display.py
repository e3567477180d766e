"""Show a run and its result: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keepalived.host.clock import Clock
from keepalived.probe.findings import QUESTIONS, Verdict, about
from keepalived.probe.notes import Trial
from keepalived.probe.report import Report, suggestion
from keepalived.settings.problems import printable

_DRAW_SECONDS = 0.25
_LINE_SECONDS = 60.0
_BAR_COLUMNS = 40
_WIDEST = 120
_STYLES = {Verdict.YES: "green", Verdict.NO: "yellow", Verdict.UNKNOWN: "dim"}


class ProbeDisplay(Protocol):
    """Shows the progress of a run. No method raises, even if the output is gone."""

    def say(self, text: str) -> None:
        """Print a line."""
        ...

    def begin(self, trials: Sequence[Trial], expected: float) -> None:
        """Start to show trials, which are expected to take `expected` seconds."""
        ...

    def show(self, trial: Trial, state: str) -> None:
        """Show the state of a trial."""
        ...

    async def run(self) -> None:
        """Refresh the display until cancelled."""
        ...

    def close(self) -> None:
        """End the display; `say` still prints lines."""
        ...


def display_on(stream: TextIO, clock: Clock) -> ProbeDisplay:
    """Return the display for a stream: a live table on a terminal, lines elsewhere."""
    is_dumb = os.environ.get("TERM", "") in ("", "dumb", "unknown")
    if stream.isatty() and not is_dumb:
        return _Terminal(Console(file=stream, highlight=False), clock)
    return _Lines(stream, clock)


class _Timed:
    """The state of each trial, and the time of the run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[Trial, str] = {}
        self._began = 0.0
        self._expected = 1.0


class _Lines(_Timed):
    """Prints a line when a trial begins or ends, and a summary every minute."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        super().__init__(clock)
        self._stream = stream

    def say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the reader has closed the stream
            print(f"clkeepalived: {printable(text)}", file=self._stream, flush=True)

    def begin(self, trials: Sequence[Trial], expected: float) -> None:
        self._began, self._expected = self._clock.boot(), expected

    def show(self, trial: Trial, state: str) -> None:
        self._states[trial] = state

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LINE_SECONDS)
            passed = about(self._clock.boot() - self._began)
            self.say(f"{passed} of about {about(self._expected)}")
            for trial, state in self._states.items():
                self.say(f"  {trial}: {state}")

    def close(self) -> None:
        for trial, state in self._states.items():
            self.say(f"{trial}: {state}")
        self._states.clear()


class _Terminal(_Timed):
    """A table with a progress bar below it, redrawn in place."""

    def __init__(self, console: Console, clock: Clock) -> None:
        super().__init__(clock)
        self._console = console
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._try(lambda: self._console.print(Text(f"clkeepalived: {printable(text)}")))

    def begin(self, trials: Sequence[Trial], expected: float) -> None:
        self._states = dict.fromkeys(trials, "")
        self._began, self._expected = self._clock.boot(), expected
        self._live = Live(
            self._drawing(),
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._try(self._live.start)

    def show(self, trial: Trial, state: str) -> None:
        self._states[trial] = state

    async def run(self) -> None:
        while True:
            self._draw()
            await asyncio.sleep(_DRAW_SECONDS)

    def close(self) -> None:
        self._draw()
        if self._live is not None:
            self._try(self._live.stop)
            self._live = None

    def _draw(self) -> None:
        live = self._live
        if live is not None:
            self._try(lambda: live.update(self._drawing(), refresh=True))

    def _drawing(self) -> Group:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=max(map(len, Trial)))
        table.add_column(no_wrap=True, overflow="ellipsis")
        for trial, state in self._states.items():
            table.add_row(str(trial), Text(printable(state), style="cyan"))
        passed = self._clock.boot() - self._began
        foot = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        bar = ProgressBar(total=self._expected, completed=passed, width=_BAR_COLUMNS)
        foot.add_row(bar, f"{about(round(passed))} of about {about(self._expected)}")
        return Group(table, foot)

    def _try(self, draw: Callable[[], object]) -> None:
        with suppress(OSError, ValueError):  # the terminal was hung up
            draw()


def print_report(report: Report, stream: TextIO) -> None:
    """Write the table of findings and the advice. Raises OSError if that fails."""
    console = Console(
        file=stream, highlight=False, width=None if stream.isatty() else _WIDEST, soft_wrap=False
    )
    table = Table(box=box.ROUNDED if stream.isatty() else box.ASCII, show_header=False)
    table.add_column(ratio=4)
    table.add_column(no_wrap=True)
    table.add_column(ratio=5, overflow="fold")
    for finding in report.findings:
        # For `TOLD` the text is the answer.
        verdict = "" if finding.verdict is Verdict.TOLD else str(finding.verdict)
        style = _STYLES.get(finding.verdict, "")
        question, answer = QUESTIONS[finding.question], printable(finding.words)
        table.add_row(question, Text(verdict, style=style), Text(answer))
    console.print(table)
    console.print("\nSuggested configuration:\n")
    for line in suggestion(report):
        console.print(Text(f"    {line}"))
    for remark in report.advice.remarks:
        console.print(Text(f"\n- {printable(remark)}"))
