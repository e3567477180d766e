"""Write the table of faults and contenders as Markdown and JSON, and into other pages."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.survive.contenders import Name
from benchmarks.survive.verdict import Cell

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
COMMAND = "make survive"

_BEGIN = "<!-- survive: written by `make survive` -->"
_END = "<!-- survive: end -->"
_MARK = "†"


@dataclass(frozen=True)
class Row:
    """One fault in one mode: the result of each contender, or why it could not run.

    `disturbed`: the machine stalled in every run.
    """

    fault: str
    title: str
    put_counts: bool
    cells: Mapping[Name, Cell] | None
    why_not: str = ""
    disturbed: bool = False


def cell_text(name: Name, cell: Cell) -> str:
    """Return a cell of the table; a mark means that nothing could have saved the lost sessions."""
    text = f"{cell.lost} of {cell.of}"
    is_doomed = name is Name.DAEMON and cell.lost and cell.is_honoured
    return f"{text} {_MARK}" if is_doomed else text


def markdown(rows: Sequence[Row]) -> str:
    """Return both modes as one table: each contender's cell is `PUT counts / PUT does not`."""
    lines = [
        f"| fault | {' | '.join(Name)} |",
        f"| --- |{' --- |' * len(Name)}",
    ]
    titles = dict.fromkeys((row.fault, row.title) for row in rows)
    for fault, title in titles:
        modes = [row for row in rows if row.fault == fault]
        modes.sort(key=lambda row: not row.put_counts)
        whys = {row.why_not for row in modes if row.cells is None}
        if whys:
            lines.append(f"| {title} |{' |' * (len(Name) - 1)} {'; '.join(sorted(whys))} |")
            continue
        cells = [
            " / ".join(cell_text(name, row.cells[name]) for row in modes if row.cells is not None)
            for name in Name
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Describe the machine: processor, cores, kernel, Python."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = models[0] if models else platform.machine()
    system, release = platform.system(), platform.release()
    python = platform.python_version()
    return f"{len(models)} cores of {processor}, {system} {release}, Python {python}"


def page(rows: Sequence[Row], lifetime: float, seconds: float) -> str:
    """Return the page with the results."""
    date = datetime.now(UTC).date().isoformat()
    return f"""# Faults survived

Lost sessions out of all open ones, by fault and keeper. The first figure of a cell is for a vCenter
that counts a PUT in progress as activity, the second for one that does not.
[survival.md](../../docs/survival.md) explains the rows and rules.

{quotation(rows)}
Made by `{COMMAND}` on {date} in {seconds:.0f} s, with lifetimes of {lifetime:g} s, on
{machine()}. All figures are in [survive.json](survive.json).
"""


def footnote() -> str:
    """Return the explanation of the mark."""
    return (
        f"{_MARK} Nothing could have saved these; `clkeepalived` had warned of each of them before "
        "it was lost."
    )


def read() -> list[Row]:
    """Return the rows of the last run."""
    data = json.loads((RESULTS / "survive.json").read_text())
    return [_row(row) for row in data["rows"]]


def _as_json(row: Row) -> dict[str, Any]:
    """Return a row as it is written: with notes only on sessions that the daemon lost."""
    data = asdict(row)
    for name, cell in (data["cells"] or {}).items():
        if name is not Name.DAEMON:
            del cell["notes"]
    return data


def _row(data: dict[str, Any]) -> Row:
    cells = data.pop("cells")
    kept = None if cells is None else {Name(name): Cell(**cell) for name, cell in cells.items()}
    return Row(**data, cells=kept)


def quotation(rows: Sequence[Row]) -> str:
    """Return the part that other pages quote: the table and the explanation of its mark."""
    return f"{markdown(rows)}\n{footnote()}\n"


def write(rows: Sequence[Row], lifetime: float, seconds: float) -> None:
    """Write the results, and the table into docs/survival.md."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "survive.md").write_text(page(rows, lifetime, seconds))
    data: dict[str, Any] = {
        "command": COMMAND,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "lifetime": lifetime,
        "seconds": round(seconds, 1),
        "rows": [_as_json(row) for row in rows],
    }
    records.write(RESULTS / "survive.json", data)
    shown = ROOT / "docs/survival.md"
    shown.write_text(quoted(shown.read_text(), quotation(rows)))


def quoted(text: str, table: str) -> str:
    """Return a page with the table between its marks. Raises ValueError without the marks."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} … {_END}")
    return f"{before}{begin}\n\n{table}\n{end}{after}"
