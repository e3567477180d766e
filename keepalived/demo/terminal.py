"""Show the demo on a terminal, with rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keepalived.demo.screen import MARKS, Life, Result
from keepalived.demo.uploads import DemoUpload
from keepalived.demo.verdict import ENDS, HEADINGS, keeper_of
from keepalived.simulator.resources import SessionEvent

_WIDEST = 100
_STEADY_WIDTH = len("checksumming")
_AT_RISK = 0.4
_STYLES = {True: "green", False: "bold red"}


class TerminalScreen:
    """A table that is redrawn at each `show`, and replaced by the summary at the end.

    All drawing happens in this thread: reading a simulated session changes its state.
    """

    def __init__(
        self,
        uploads: Sequence[DemoUpload],
        life: Callable[[DemoUpload], Life],
        lifetime: float,
        console: Console | None = None,
    ) -> None:
        self._console = console or Console(highlight=False)
        self._life = life
        self._lifetime = lifetime
        self._live = Live(
            self._table(uploads),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> TerminalScreen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, uploads: Sequence[DemoUpload]) -> None:
        """Redraw the table."""
        self._live.update(self._table(uploads), refresh=True)

    def conclude(self, results: Sequence[Result]) -> None:
        """Draw two tables: the facts, and below them a summary of each upload."""
        facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        facts.add_column(no_wrap=True)
        facts.add_column(no_wrap=True)
        facts.add_column(overflow="fold")
        for result in results:
            facts.add_row("", Text(result.summary.upload, style="bold"))
            for claim, holds, evidence in result.findings:
                facts.add_row(Text(MARKS[holds], style=_STYLES[holds]), claim, Text(evidence))
            facts.add_row()
        self._console.print(facts)
        outcomes = Table(*HEADINGS, box=box.ROUNDED, header_style="bold")
        for summary, findings in results:
            style = _STYLES[all(each.holds for each in findings)]
            *others, outcome = summary
            outcomes.add_row(*map(Text, others), Text(outcome, style=style))
        self._console.print(outcomes)

    def _table(self, uploads: Sequence[DemoUpload]) -> Table:
        width = min(self._console.width, _WIDEST)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), width=width)
        for heading in ("upload", "kept by"):
            table.add_column(heading, no_wrap=True)
        table.add_column("doing", no_wrap=True, min_width=_STEADY_WIDTH)
        table.add_column("sent", ratio=1)
        table.add_column("", no_wrap=True, justify="right", min_width=len("100 %"))
        table.add_column("time left", no_wrap=True)
        for upload in uploads:
            table.add_row(
                upload.name,
                keeper_of(upload),
                Text(upload.doing, style="red" if upload.trouble else ""),
                ProgressBar(total=upload.size, completed=upload.sent),
                f"{100 * upload.sent // upload.size} %",
                self._time_left(self._life(upload)),
            )
        return table

    def _time_left(self, life: Life) -> Text:
        if life.ended is not None:
            is_well = life.ended is SessionEvent.COMPLETED
            return Text(ENDS[life.ended], style=_STYLES[is_well])
        if life.left is None:
            return Text("-", style="dim")
        style = "green" if life.left > _AT_RISK * self._lifetime else "red"
        return Text(f"{max(0.0, life.left):.1f} s", style=style)
