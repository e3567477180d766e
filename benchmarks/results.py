"""Record answers in bench.json, and publish them: a page, plots, and the table in the README.

Measuring a part replaces its answer, together with the description of the machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import aims, lane, records, startup
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
    answers = {name: each["answer"] for name, each in kept.items()}
    lines = [f"- {line}" for line in _summary(answers)]
    if not lines:
        return
    quotation = "\n".join([_BEGIN, *lines, _END])
    text = _README.read_text()
    between = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    _README.write_text(between.sub(lambda _: quotation, text))


def _summary(answers: dict[str, Answer]) -> Iterator[str]:
    """Yield what the README quotes: a line for each part that was measured."""
    cell = lane.Cell(lane.DAEMON, "https", "uvloop", "minimal").name
    if ratios := answers.get(lane.PART.name, {}).get(cell, {}).get("ratios"):
        yield (
            f"Keep-alives per CPU-second over https: {ratios[lane.GOVMOMI]:.1f} times those of "
            f"govmomi's client in Go, {ratios[lane.BARE]:.1f} of a bare aiohttp loop, "
            f"{ratios[lane.SDK]:.1f} of VMware's Python SDK."
        )
    if steady := answers.get("steady", {}).get("100000"):
        yield (
            f"100,000 sessions of five minutes take {steady['cpu_percent']:.0f} % of a core; "
            f"{steady['late_by_over_1_s']:.0f} renewals are over a second late."
        )
    if small := answers.get(startup.PART.name, {}).get("ratios"):
        yield (
            f"`serve` is ready in {small[startup.READY]:.1f} times, and `exec -- true` takes "
            f"{small[startup.EXEC]:.1f} times, what `{startup.YARDSTICK}` takes."
        )
        resident = answers[startup.PART.name]["resident_mib"]
        yield f"`serve` with ten sessions needs {resident:.0f} MiB."
    if crowd := answers.get("crowd"):
        most = max(crowd[each]["bytes_per_session"] / 1024 for each in ("state", "yaml"))
        yield f"Each further session needs {most:.1f} KiB at most."
