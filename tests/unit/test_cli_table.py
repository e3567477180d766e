"""The table of `status`: who stands first, and what fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.cli import status_table
from keepalived.cli.table import Cell, OutputFormat, cut, cut_middle, fill, plain_rows, width_of
from keepalived.lease.model import State
from keepalived.lease.timing import AT_RISK_SHARE

TEXTS = st.text("aß日本é\u0301…-", max_size=40)
ID = "815994e5-0f31-4c43-9c22-2d5f2c5f1d4e:9c7e16e9-6f3a-4a39-8d28-1f2e7e3e9b11"


def look(columns: int, *, colours: bool = False, blocks: bool = True) -> OutputFormat:
    return OutputFormat(columns, 24, is_terminal=True, has_colours=colours, has_blocks=blocks)


def session(name: str = "image", **other: Any) -> dict[str, Any]:
    return {
        "vcenter": "lab",
        "kind": "update",
        "id": ID,
        "state": "ACTIVE",
        "since": "2026-01-01T00:00:00Z",
        "slack": 250.0,
        "lifetime": 300.0,
        "failures": 0,
        "last_error": "",
        "progress": None,
        "bytes_transferred": None,
        "bytes_total": None,
        "files": [],
        "stalled": None,
        "library": "library",
        "item": name,
        "reason": None,
        "error_message": None,
        "content_moved": None,
        "holds": [],
        "outcomes": [{"at": "2026-01-01T00:00:00Z", "outcome": "ok"}],
    } | other


def test_the_words_of_the_core_are_used() -> None:
    assert {State(each) for each in status_table.LIVE} == {s for s in State if not s.is_final}
    assert {*map(State, status_table.LOST), State.NOT_FOUND} == {s for s in State if s.is_failure}
    assert status_table.AT_RISK_SHARE == AT_RISK_SHARE


def test_the_most_endangered_come_first_and_what_has_ended_comes_last() -> None:
    ordered = [
        session("overdue", slack=-40.0),
        session("never renewed, and tried", slack=None, failures=3),
        session("at risk", slack=60.0),
        # Less time, but more of a short life.
        session("short", slack=50.0, lifetime=60.0),
        session("well", slack=290.0),
        session("new", slack=None),
        session("lost", state="EXPIRED"),
        session("removed", state="REMOVED"),
        session("done", state="DONE"),
    ]
    shuffled = [ordered[place] for place in (8, 3, 0, 7, 5, 1, 6, 2, 4)]
    assert sorted(shuffled, key=status_table.risk) == ordered


@pytest.mark.parametrize("columns", [30, 45, 60, 80, 120, 200])
@pytest.mark.parametrize(
    "sessions",
    [
        [session()],
        [session("ü" * 60, vcenter="a-vcenter-with-a-long-name.example.org")],
        [session("日本" * 30, kind="download")],
        [session(library=None, item=None)],
        [
            session(
                last_error="timed out after 10 s" * 9,
                outcomes=[{"at": "2026-01-01T00:00:00Z", "outcome": "timed_out"}],
            )
        ],
        [session(state="NOT_FOUND", reason="the server does not know it" * 9)],
        [session(slack=None, outcomes=[])],
        [session(progress=100, bytes_transferred=5)],
        [session(bytes_transferred=2**50)],
    ],
)
def test_no_line_is_wider_than_the_terminal(columns: int, sessions: list[dict[str, Any]]) -> None:
    lines = status_table.table(sessions, look(columns), rows=20)
    assert len(lines) == 2
    assert all(width_of(line) <= columns for line in lines)


@pytest.mark.parametrize(
    ("count", "rows"), [(1, 10), (9, 10), (10, 10), (500, 20), (500, 3), (5, 1)]
)
def test_the_rest_is_counted(count: int, rows: int) -> None:
    lines = status_table.table([session(slack=100.0 + n) for n in range(count)], look(80), rows)
    shown = sum("ACTIVE  " in line for line in lines)
    left_out = count - shown
    assert shown >= 1
    assert len(lines) <= max(rows, 3)
    if left_out:
        least = 100 + shown
        rest = f"{left_out} ACTIVE, at least {least // 60}m{least % 60:02}s left"
        assert lines[-1] == f"… and {left_out} more: {rest}"


def test_danger_has_a_colour() -> None:
    colours = [
        status_table.table([session(slack=slack)], look(80, colours=True), 9)[1]
        for slack in (250.0, 100.0, -1.0)
    ]
    for line, style in zip(colours, ("32", "33", "31"), strict=True):
        assert f"\x1b[{style}m" in line
    assert "\x1b" not in status_table.table([session()], look(80), 9)[1]


def test_a_terminal_without_blocks_gets_ascii() -> None:
    lines = status_table.table([session(slack=None)] * 9, look(80, blocks=False), 5)
    assert all(line.isascii() for line in lines)


FAILED_FILE = {
    "name": "disk.vmdk",
    "source_type": "PUSH",
    "status": "ERROR",
    "bytes_transferred": 1024,
    "size": None,
    "error_message": "checksum mismatch",
}
REFUSED: dict[str, Any] = {"holds": [{"progress": None, "token": "refused"}]}


@pytest.mark.parametrize(
    ("worry", "told", "colour"),
    [
        (REFUSED, "token refused: lend a new one", "33"),
        ({**REFUSED, "stalled": 2460.0}, "stalled: no bytes for 41m00s", "33"),
        (
            {**REFUSED, "stalled": 2460.0, "files": [FAILED_FILE]},
            "file disk.vmdk: ERROR, 1.0 KiB, checksum mismatch",
            "31",
        ),
    ],
)
def test_what_is_wrong_is_told_though_renewals_go_well(
    worry: dict[str, Any], told: str, colour: str
) -> None:
    row = status_table.table([session(**worry)], look(220, colours=True), 5)[1]
    assert f"\x1b[{colour}m{told}" in row
    narrow = status_table.table([session(**worry)], look(80), 5)[1]
    assert told[:6] in narrow


def test_failing_renewals_are_told_before_everything_else() -> None:
    failing: dict[str, Any] = {"outcomes": [{"at": "2026-01-01T00:00:00Z", "outcome": "timed_out"}]}
    row = status_table.table([session(**REFUSED, **failing)], look(200), 5)[1]
    assert "timed_out" in row


def test_a_download_is_known_as_one_however_long_its_name_is() -> None:
    for name in ("image", "a-very-long-name-" * 10):
        row = status_table.table([session(name, kind="download")], look(80), 5)[1]
        assert " (download)" in row


def test_stalls_are_counted() -> None:
    found = {"sessions": [session(stalled=2460.0), session()], "vcenters": []}
    [line] = status_table.summary(found, look(80))
    assert line == "2 sessions held · none at risk · 1 stalled"


def test_the_furthest_progress_counts() -> None:
    holds = [{"progress": None}, {"progress": 40}]
    assert status_table.progress_of(session()) is None
    assert status_table.progress_of(session(progress=30, holds=holds)) == 40
    assert status_table.progress_of(session(bytes_transferred=1, bytes_total=2)) == 50
    assert status_table.progress_of(session(bytes_transferred=0, bytes_total=0)) is None


@given(TEXTS, st.integers(0, 30))
def test_texts_are_cut_to_their_columns(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width
    assert width_of(cut_middle(text, width)) <= width
    assert width_of(fill(text, width)) == width
    if width_of(text) <= width:
        assert cut(text, width) == cut_middle(text, width) == text


def test_both_ends_of_an_id_are_kept() -> None:
    assert cut_middle(ID, 9) == "8159…9b11"


@given(st.floats(-1, 2), st.integers(1, 20))
def test_bars_have_their_length(share: float, width: int) -> None:
    bar = look(80).bar(share, width)
    assert len(bar) == width
    assert bar == "█" * bar.count("█") + "░" * bar.count("░")


def test_columns_stand_below_each_other() -> None:
    assert plain_rows([("A", "B"), ("日本", "b"), ("c", "")]) == ["A     B", "日本  b", "c"]
    assert look(80).paint(Cell("a…", "31"), 4) == "a…  "
