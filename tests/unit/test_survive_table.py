"""The table of faults survived: how it is judged and shown, and README shows what was measured."""

from __future__ import annotations

import pytest

from benchmarks.survive import table
from benchmarks.survive.contenders import Name
from benchmarks.survive.faults import FAULTS
from benchmarks.survive.table import Row
from benchmarks.survive.verdict import Cell


def row(daemon: Cell, *, put_counts: bool = True) -> Row:
    cells = {name: Cell(3, 4, savable=3) for name in Name} | {Name.DAEMON: daemon}
    return Row("kill", "killed", put_counts, cells)


def test_both_modes_stand_in_one_cell() -> None:
    rows = [row(Cell(0, 4), put_counts=False), row(Cell(1, 4, savable=1))]
    last = table.markdown(rows).splitlines()[-1]
    assert (
        last == "| killed | 3 of 4 / 3 of 4 | 3 of 4 / 3 of 4 | 3 of 4 / 3 of 4 | 1 of 4 / 0 of 4 |"
    )


@pytest.mark.parametrize(
    ("cell", "shown", "honoured"),
    [
        (Cell(0, 4), "0 of 4", True),
        (Cell(1, 4, savable=0, warned=True), "1 of 4 †", True),
        (Cell(1, 4, savable=0, warned=False), "1 of 4", False),
        (Cell(1, 4, savable=1), "1 of 4", False),
    ],
)
def test_the_mark_is_for_what_nothing_could_save(cell: Cell, shown: str, honoured: bool) -> None:
    assert table.cell_text(Name.DAEMON, cell) == shown
    assert table.cell_text(Name.LOOP, cell) == f"{cell.lost} of 4"
    assert cell.is_honoured is honoured


def test_a_row_that_could_not_be_tried_says_why() -> None:
    last = table.markdown([Row("dns", "no names", True, None, "needs root")]).splitlines()[-1]
    assert last == "| no names | | | | needs root |"


def test_a_page_without_the_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        table.quoted("# A page", "table")


def test_the_docs_show_what_was_measured() -> None:
    quotation = table.quotation(table.read())
    shown = (table.ROOT / "docs/survival.md").read_text()
    assert table.quoted(shown, quotation) == shown
    assert quotation in (table.RESULTS / "survive.md").read_text()


def test_every_fault_was_measured_and_none_cost_what_could_be_saved() -> None:
    rows = table.read()
    assert {each.fault for each in rows} == {fault.name for fault in FAULTS}
    tried = [each.cells[Name.DAEMON] for each in rows if each.cells is not None]
    assert [cell for cell in tried if not cell.is_honoured] == []


def test_the_docs_explain_every_fault() -> None:
    page = (table.ROOT / "docs" / "survival.md").read_text()
    assert [fault.name for fault in FAULTS if f"`{fault.name}`" not in page] == []
