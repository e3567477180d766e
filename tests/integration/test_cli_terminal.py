"""`status` and `status --watch` in a real terminal of 80 and of 200 columns."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from keepalived.lease.holds import Hold, Owner, OwnerKind, latest_until
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import Progress
from keepalived.simulator.faults import Fail
from tests.support.control import Control
from tests.support.screen import Screen, terminal

BOTH_WIDTHS = pytest.mark.parametrize("columns", [80, 200])


async def hold(control: Control, count: int) -> list[str]:
    """Hold some sessions, and wait until all of them are being kept alive."""
    ids = [control.open() for _ in range(count)]
    now = control.clock.boot()
    owner = Owner(OwnerKind.NONE)
    for place, each in enumerate(ids):
        until = latest_until(OwnerKind.NONE, now)
        progress = Progress(percent=place % 101)
        control.registry.hold(
            SessionKey("lab", Kind.UPDATE, each), Hold(0, owner, now, until, progress)
        )
    # Of a crowd, only some are looked at closely at first: renewals come first.
    await control.until(
        lambda: all(
            session.state is State.ACTIVE and (session.item or count > 10)
            for session in control.registry
        )
    )
    return ids


def fits(screen: Screen) -> bool:
    """Whether nothing was written beyond the right edge: the program cuts, not the terminal."""
    return all(len(line) <= screen.columns for line in screen.lines)


@BOTH_WIDTHS
async def test_nothing_held(control: Control, columns: int) -> None:
    async with terminal(control.path, "status", columns=columns) as shown:
        await shown.until(lambda screen: "nothing is held" in screen.text)
        assert await shown.end() == 0


@BOTH_WIDTHS
async def test_three_sessions(control: Control, columns: int) -> None:
    ids = await hold(control, 3)
    async with terminal(control.path, "status", columns=columns) as shown:
        assert await shown.end() == 0
        await shown.until(lambda screen: screen.text.count("library/image.ova") == 3)
    summary, title, *rows = shown.screen.lines[:5]
    assert summary == "3 sessions held · none at risk"
    titles = "VCENTER SESSION ID STATE SLACK PROGRESS LAST ANSWER"
    assert title.split() == titles.split()
    assert fits(shown.screen)
    for row in rows:
        assert "ACTIVE" in row
        assert "█" in row
        assert "%" in row
        assert " ok " in row
    # As much as tells ids apart where they do not fit, and the ids where they do.
    expected = ids if columns == 200 else [f"{each[:3]}…{each[-3:]}" for each in ids]
    assert {row.split()[2] for row in rows} == set(expected)


@BOTH_WIDTHS
async def test_five_hundred_sessions_of_which_the_most_endangered_are_shown(
    control: Control, columns: int
) -> None:
    ids = await hold(control, 500)
    control.simulators["lab"].faults.add(Fail(500), route="*.keep_alive")
    # One is in danger: it alone has not been renewed for most of its lifetime.
    key = SessionKey("lab", Kind.UPDATE, ids[321])
    session = control.registry.find(key)
    assert session is not None
    assert session.renewed_at is not None
    control.registry.commit(session._replace(renewed_at=session.renewed_at - 250), ())
    async with terminal(control.path, "status", columns=columns, rows=24) as shown:
        assert await shown.end() == 0
        await shown.until(lambda screen: " more: " in screen.text)
    summary, _, first, *_ = shown.screen.lines
    assert summary == "500 sessions held · 1 at risk"
    assert "4m" not in first
    lines = [line for line in shown.screen.lines if line]
    assert len(lines) <= 22  # there is room for the prompt
    assert lines[-1].startswith(f"… and {500 - (len(lines) - 3)} more: ")
    assert fits(shown.screen)


@BOTH_WIDTHS
@pytest.mark.parametrize("count", [0, 3, 500])
async def test_watching_goes_on_until_q(control: Control, columns: int, count: int) -> None:
    await hold(control, count)
    async with terminal(control.path, "status", "--watch", columns=columns, rows=12) as shown:
        await shown.until(lambda screen: "q quits" in screen.lines[0])
        assert shown.screen.is_alternate
        assert not shown.screen.has_cursor
        first = shown.screen.lines[0]
        await shown.until(lambda screen: screen.lines[0] != first and "q quits" in screen.lines[0])
        expected = f"{count} sessions held" if count else "nothing is held"
        assert shown.screen.lines[0].startswith(expected)
        assert fits(shown.screen)
        assert sum(" ACTIVE " in line for line in shown.screen.lines) == min(count, 9)
        assert (" more: " in shown.screen.text) == (count == 500)
        shown.type("q")
        assert await shown.end() == 0
        await shown.until(lambda screen: not screen.is_alternate)
        assert shown.screen.has_cursor
        assert shown.screen.wraps
        assert shown.screen.text.strip() == ""


async def test_watching_ends_with_ctrl_c_as_well(control: Control) -> None:
    async with terminal(control.path, "status", "--watch") as shown:
        await shown.until(lambda screen: "q quits" in screen.text)
        shown.type("\x03")
        assert await shown.end() == 0
        await shown.until(lambda screen: not screen.is_alternate and screen.has_cursor)


async def test_a_new_size_is_drawn_for_at_once(control: Control) -> None:
    await hold(control, 3)
    async with terminal(control.path, "status", "--watch", columns=200) as shown:
        await shown.until(lambda screen: "q quits" in screen.text)
        shown.resize(60, 12)
        await shown.until(lambda screen: screen.text.count("ACTIVE") == 3)
        assert fits(shown.screen)


async def test_a_daemon_that_restarts_is_waited_for(control: Control) -> None:
    await hold(control, 1)
    async with terminal(control.path, "status", "--watch") as shown:
        await shown.until(lambda screen: "1 session held" in screen.lines[0])
        await control.stop()
        await shown.until(lambda screen: "no socket at" in screen.lines[0])
        assert "1 session held" in shown.screen.text
        await control.start()
        await shown.until(lambda screen: "1 session held" in screen.lines[0])


async def test_no_daemon_is_told_without_a_screen(tmp_path: Path) -> None:
    async with terminal(tmp_path / "none.sock", "status", "--watch") as shown:
        assert await shown.end() == 69
        await shown.until(lambda screen: "no socket" in screen.text)
        assert "\x1b[?1049h" not in shown.screen.everything


async def test_a_job_that_is_stopped_gives_the_terminal_back(control: Control) -> None:
    shell = ("bash", "-m", "-c", '"$@"; echo stopped; read; fg', "bash")
    async with terminal(control.path, "status", "--watch", prefix=shell) as shown:
        await shown.until(lambda screen: "q quits" in screen.text)
        shown.type("\x1a")
        await shown.until(lambda screen: "stopped" in screen.text)
        assert not shown.screen.is_alternate
        assert shown.screen.has_cursor
        shown.type("\n")
        await shown.until(lambda screen: screen.is_alternate and "q quits" in screen.text)
        shown.type("q")
        assert await shown.end() == 0
        await shown.until(lambda screen: not screen.is_alternate)


STOPPED_WHILE_IT_WRITES = """
import io, os, signal, sys
from keepalived.cli.screen import watch_screen

class Terminal(io.FileIO):
    is_stopped = False

    def write(self, data):
        if b"picture" in bytes(data) and not self.is_stopped:
            self.is_stopped = True
            os.kill(os.getpid(), signal.SIGTSTP)
        return super().write(data)

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Terminal(1, "w")))
watch_screen(lambda: ["picture"])
"""


async def test_a_stop_waits_for_the_picture_that_is_being_written(tmp_path: Path) -> None:
    job = f'"{sys.executable}" -c "$0"; echo stopped; read; fg'
    shell = ("bash", "-m", "-c", job, STOPPED_WHILE_IT_WRITES)
    async with terminal(tmp_path / "none.sock", prefix=shell) as shown:
        await shown.until(lambda screen: "stopped" in screen.text)
        assert "picture" in shown.screen.everything
        assert not shown.screen.is_alternate
        shown.type("\n")
        await shown.until(lambda screen: screen.is_alternate and "picture" in screen.text)
        shown.type("q")
        assert await shown.end() == 0


@BOTH_WIDTHS
async def test_the_servers_sessions_with_ids_to_copy(control: Control, columns: int) -> None:
    (held,) = await hold(control, 1)
    abandoned = control.open()
    async with terminal(control.path, "sessions", columns=columns) as shown:
        assert await shown.end() == 0
        await shown.until(lambda screen: "not held here" in screen.text)
    assert f"  {held}" in shown.screen.lines
    assert f"  {abandoned}" in shown.screen.lines
    assert fits(shown.screen)
