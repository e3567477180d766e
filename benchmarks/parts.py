"""The interface of every benchmark: its question, its measurement, and how its answer is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
"""The measured values of a part, as stored in bench.json."""


@dataclass(frozen=True, slots=True)
class Part:
    """One question. `about` explains how it is measured.

    `measure` takes the minutes that a measurement in real time lasts. `table` returns the answer as
    Markdown; `plot`, if any, draws it into a file.
    """

    name: str
    question: str
    about: str
    measure: Callable[[float], Answer]
    table: Callable[[Answer], str]
    plot: Callable[[Answer, Path], None] | None = None


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns after the first hold numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = (f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
    return "\n".join(lines)
