"""Tables that fit a terminal: cells with styles, bars, and texts cut to the columns they fill."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keepalived.lease.text import columns_of
from keepalived.lease.text import width_of as width_of

GAP = 2

_BAR, _BAR_ASCII = ("█", "░"), ("#", "-")


class Cell(NamedTuple):
    """A text and its style: the parameters of an SGR sequence, such as `31` for red."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The capabilities of the output: width, colours and characters."""

    columns: int
    rows: int
    is_terminal: bool
    has_colours: bool
    has_blocks: bool

    @classmethod
    def of_stdout(cls) -> OutputFormat:
        """Return the capabilities of this process's standard output."""
        size = shutil.get_terminal_size()
        is_terminal = sys.stdout.isatty()
        dumb = os.environ.get("TERM", "dumb") == "dumb" or bool(os.environ.get("NO_COLOR"))
        return cls(
            columns=size.columns,
            rows=size.lines,
            is_terminal=is_terminal,
            has_colours=is_terminal and not dumb,
            has_blocks=_can_encode("".join(_BAR) + "…—·"),
        )

    def paint(self, cell: Cell, width: int | None = None) -> str:
        """Return a cell's text in its style, padded to a width."""
        text = cell.text if width is None else fill(cell.text, width)
        if not self.has_blocks:
            text = text.replace("…", "~").replace("—", "-").replace("·", "|")
        styled = bool(self.has_colours and cell.style and cell.text)
        return f"\x1b[{cell.style}m{text}\x1b[0m" if styled else text

    def bar(self, share: float, width: int) -> str:
        """Return a bar that is filled to `share`, from 0 to 1."""
        full, empty = _BAR if self.has_blocks else _BAR_ASCII
        filled = int(min(1.0, max(0.0, share)) * width + 0.5)
        return full * filled + empty * (width - filled)


def _can_encode(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def cut(text: str, width: int) -> str:
    """Cut a text to at most `width` columns."""
    if width_of(text) <= width:
        return text
    return _start(text, width - 1) + "…" if width > 0 else ""


def cut_middle(text: str, width: int) -> str:
    """Cut a text in its middle to at most `width` columns: ids differ at both ends."""
    if width_of(text) <= width:
        return text
    tail = (width - 1) // 2
    if tail <= 0:
        return cut(text, width)
    return _start(text, width - 1 - tail) + "…" + _start(text[::-1], tail)[::-1]


def _start(text: str, width: int) -> str:
    taken = 0
    for place, char in enumerate(text):
        taken += columns_of(char)
        if taken > width:
            return text[:place]
    return text


def fill(text: str, width: int) -> str:
    """Cut or pad a text to exactly `width` columns."""
    fitting = cut(text, width)
    return fitting + " " * (width - width_of(fitting))


def row(output: OutputFormat, cells: Sequence[Cell], widths: Sequence[int]) -> str:
    """Return one line of a table. Columns of no width are left out."""
    shown = [(cell, width) for cell, width in zip(cells, widths, strict=True) if width > 0]
    painted = [output.paint(cell, width) for cell, width in shown[:-1]]
    painted += [output.paint(Cell(cut(cell.text, width), cell.style)) for cell, width in shown[-1:]]
    return (" " * GAP).join(painted).rstrip()


def plain_rows(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return aligned lines for programs and files, without cutting."""
    table = list(rows)
    widths = [max(map(width_of, column)) for column in zip(*table, strict=True)]
    gap = " " * GAP
    return [gap.join(map(fill, each, widths)).rstrip() for each in table]
