"""What is seen of the play: a table that lives on a terminal, lines elsewhere, and the summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Protocol

from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from keepalived.demo.uploads import Fate, Upload
from keepalived.demo.verdict import Finding

_REFRESHES = 8
_BAR_WIDTH = 16
_KEEPERS = {
    Fate.KEPT: "clkeepalived",
    Fate.UNKEPT: "nobody",
    Fate.CANCELED: "clkeepalived",
    Fate.FAILED: "clkeepalived",
}


class Screen(Protocol):
    """Shows uploads while they go on."""

    def __enter__(self) -> Screen: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, upload: Upload) -> None:
        """Something changed about an upload."""


class Terminal:
    """A table that redraws itself. `slack` gives the seconds a session has left, if it lives."""

    def __init__(
        self,
        console: Console,
        uploads: Sequence[Upload],
        slack: Callable[[Upload], float | None],
        lifetime: float,
    ) -> None:
        self._uploads = uploads
        self._slack = slack
        self._lifetime = lifetime
        self._live = Live(
            get_renderable=self._draw,
            console=console,
            refresh_per_second=_REFRESHES,
            transient=True,
        )

    def __enter__(self) -> Terminal:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, upload: Upload) -> None:
        """The next redraw shows it."""

    def _draw(self) -> Group:
        table = Table(box=None, pad_edge=False, expand=False)
        for heading in ("upload", "kept by", "doing", "sent", "", "time left"):
            table.add_column(heading, no_wrap=True)
        for upload in self._uploads:
            slack = self._slack(upload)
            left = Text("-", style="dim")
            if slack is not None:
                style = "green" if slack > 0.4 * self._lifetime else "red"
                left = Text(f"{max(0.0, slack):.1f} s", style=style)
            table.add_row(
                upload.name,
                _KEEPERS[upload.fate],
                Text(upload.doing, style="red" if upload.trouble else ""),
                Bar(upload.size, 0, upload.sent, width=_BAR_WIDTH, color="cyan"),
                f"{100 * upload.sent // upload.size:3d} %",
                left,
            )
        return Group(table)


class Lines:
    """One line for each change of what an upload is doing."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._said: dict[str, str] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put away."""

    def show(self, upload: Upload) -> None:
        """Say what the upload does now, once."""
        if self._said.get(upload.name) == upload.doing:
            return
        self._said[upload.name] = upload.doing
        trouble = f": {upload.trouble}" if upload.trouble else ""
        seconds = self._now() - self._began
        print(f"{seconds:5.1f} s  {upload.name:18} {upload.doing}{trouble}", flush=True)


def introduce(lifetime: float) -> None:
    """Say what is about to be seen."""
    print(
        f"A simulated vCenter deletes update sessions after {lifetime:g} idle seconds, as the real "
        "one does\nafter 300. The uploads below pause for longer: checksums and queues do that.\n",
        flush=True,
    )


def conclude(found: Iterable[Finding]) -> None:
    """Print every finding, and whether it is as it should be."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    before = ""
    for finding in found:
        if finding.upload != before:
            console.print(f"\n{finding.upload}", style="bold")
            before = finding.upload
        mark = "[green]ok[/]" if finding.holds else "[red]NOT SO[/]"
        console.print(f"  {mark}  ", end="")
        console.print(finding.what, markup=False)
