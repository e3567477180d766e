"""What every part of the benchmarks is: a question, how it is measured, how the answer is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
"""What a part has measured, as it stands in bench.json."""


@dataclass(frozen=True, slots=True)
class Part:
    """One question, and what has to be known `about` it.

    `measure` takes the minutes that a measurement in real time lasts.
    `table` puts the answer into Markdown; `plot`, where there is something to see, draws it into a
    file.
    """

    name: str
    question: str
    about: str
    measure: Callable[[float], Answer]
    table: Callable[[Answer], str]
    plot: Callable[[Answer, Path], None] | None = None


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = (f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
    return "\n".join(lines)
