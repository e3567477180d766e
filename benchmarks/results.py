"""Record answers in bench.json, and publish them: a page, plots, and the table in the README.

Measuring a part replaces its answer, together with the description of the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import aims, lane, records
from benchmarks.machine import name_machine
from benchmarks.parts import Answer, Part

FOLDER = Path(__file__).parent / "results"
_RECORD = FOLDER / "bench.json"
_PAGE = FOLDER / "bench.md"
_README = Path(__file__).parents[1] / "README.md"
_BEGIN, _END = "<!-- written by `make bench` -->", "<!-- end of what `make bench` writes -->"
_HEAD = """# Benchmarks

`make bench` writes this page. `make bench ONLY=lane,idle` repeats only these parts, and takes the
others from [bench.json](bench.json). [docs/performance.md](../../docs/performance.md) explains the
measures behind these figures."""


def recorded() -> dict[str, Answer]:
    """Return the recorded answers, each with its machine, by the parts' names."""
    if not _RECORD.exists():
        return {}
    parts: dict[str, Answer] = json.loads(_RECORD.read_text())
    return parts


def record(part: Part, answer: Answer) -> None:
    """Record an answer, replacing an earlier one of the same part."""
    FOLDER.mkdir(exist_ok=True)
    parts = recorded() | {part.name: {"machine": name_machine(), "answer": answer}}
    records.write(_RECORD, dict(sorted(parts.items())))


def publish(parts: Sequence[Part]) -> None:
    """Write page, plots and README table from the recorded answers."""
    kept = recorded()
    answers = {name: each["answer"] for name, each in kept.items()}
    paragraphs = [_HEAD, "## Aims", aims.table(answers)]
    for part in parts:
        if part.name not in kept:
            continue
        paragraphs += [f"## {part.question}", part.about, part.table(answers[part.name])]
        if part.plot is not None:
            part.plot(answers[part.name], FOLDER / f"{part.name}.svg")
            paragraphs.append(f"![{part.question}]({part.name}.svg)")
        paragraphs.append(f"`make bench ONLY={part.name}`, on {kept[part.name]['machine']}.")
    _PAGE.write_text("\n\n".join(paragraphs) + "\n")
    _quote(kept)


def _quote(kept: dict[str, Answer]) -> None:
    """Replace the text between the README's two markers."""
    if lane.PART.name not in kept:
        return
    answers = {name: each["answer"] for name, each in kept.items()}
    measured = {cell.scheme for cell in lane.cells() if cell.name in answers["lane"]}
    scheme = "https" if "https" in measured else "http"
    table = lane.table(answers["lane"], lambda cell: cell.scheme == scheme)
    quotation = (
        f"{_BEGIN}\n`make bench`, on {kept['lane']['machine']}:\n\n{table}\n\n"
        f"{aims.table(answers)}\n{_END}"
    )
    text = _README.read_text()
    between = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    _README.write_text(between.sub(lambda _: quotation, text))
