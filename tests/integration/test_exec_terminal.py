"""`clkeepalived exec` on a terminal: keys, stops, the bar, and a session that lives through it."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keepalived.simulator.resources import SessionEvent
from tests.support.exec import UPLOADER, Place, image, open_sessions, place
from tests.support.pty import INTERRUPT, SUSPEND, Pty, shell, until

LIFETIME, SERVED = 2.0, 16.0
"""The configured and the actual lifetime of sessions: `exec` renews them every second."""

extended = pytest.mark.extended


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, LIFETIME, served_lifetime=SERVED) as opened:
        yield opened


@asynccontextmanager
async def a_shell(lab: Place) -> AsyncIterator[Pty]:
    """Start a shell on a terminal that can do what terminals can, with govc's variables."""
    variables = {name: text for name, text in lab.environment.items() if name.startswith("GOVC_")}
    async with shell() as terminal:
        settings = " ".join(f"{name}={shlex.quote(text)}" for name, text in variables.items())
        await terminal.run(f"export TERM=xterm {settings}")
        yield terminal


def line(lab: Place, *words: str) -> str:
    """Return a shell's command line that runs `exec` with these words."""
    python = (sys.executable, "-m", "keepalived.cli", "exec", "--config", str(lab.config))
    return shlex.join([*python, *words])


async def until_in_front(terminal: Pty) -> None:
    """Wait until the command has the terminal: neither the shell nor `exec`."""

    def is_the_commands() -> bool:
        group = terminal.foreground()
        try:
            words = Path(f"/proc/{group}/cmdline").read_bytes()
        except FileNotFoundError:
            return False
        return group != terminal.leader.pid and b"keepalived.cli" not in words

    await until(is_the_commands)


@extended
async def test_a_bar_shows_how_far_it_is_and_leaves_the_output_alone(
    lab: Place, tmp_path: Path
) -> None:
    iso, go_on = image(tmp_path), tmp_path / "go on"
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--", *UPLOADER, str(iso), "--put", str(go_on)))
        await terminal.shows(r"templates/image  \d+ %  .* KiB/s  .* left  kept alive")
        go_on.touch()
        await terminal.shows("completed ")
        await terminal.shows("templates/image version 1→2, content arrived")
        await terminal.run("echo code=$?")
        await terminal.shows("code=0")


@extended
async def test_no_bar_where_none_is_wanted(lab: Place, tmp_path: Path) -> None:
    iso, go_on = image(tmp_path), tmp_path / "go on"
    async with a_shell(lab) as terminal:
        await terminal.run(
            line(lab, "--no-progress", "--", *UPLOADER, str(iso), "--gap", str(go_on))
        )
        await lab.until_held()
        go_on.touch()
        await terminal.shows("content arrived")
        assert "\x1b" not in terminal.text


@extended
async def test_ctrl_c_is_the_commands(lab: Place, tmp_path: Path) -> None:
    iso = image(tmp_path)
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--", *UPLOADER, str(iso), "--gap", "/never"))
        session_id = await lab.until_held()
        await until_in_front(terminal)
        terminal.type(INTERRUPT)
        await terminal.shows("KeyboardInterrupt")
        await terminal.shows("templates/image, still open: it was not completed")
        await terminal.shows(f"to cancel it: .* {session_id}")
        await terminal.run("echo code=$?")
        await terminal.shows("code=130")


@asynccontextmanager
async def uploading_in_front(lab: Place, folder: Path) -> AsyncIterator[tuple[Pty, str, Path]]:
    """Run an upload in a shell; yield the terminal, the session, and the file that it waits for."""
    iso, go_on = image(folder), folder / "go on"
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--", *UPLOADER, str(iso), "--gap", str(go_on)))
        session_id = await lab.until_held()
        await until_in_front(terminal)
        yield terminal, session_id, go_on


async def test_ctrl_z_renews_once_more_and_fg_renews_again(lab: Place, tmp_path: Path) -> None:
    async with uploading_in_front(lab, tmp_path) as (terminal, session_id, go_on):
        pressed = asyncio.get_running_loop().time()
        terminal.type(SUSPEND)
        await terminal.run("echo stopped")
        await terminal.shows("stopped")
        last = lab.keep_alives(session_id)
        assert last[-1].time >= pressed
        await terminal.run("fg")
        await until(lambda: len(lab.keep_alives(session_id)) > len(last))
        go_on.touch()
        await terminal.shows("content arrived")
        assert "longer than" not in terminal.text


@extended
async def test_a_stop_that_outlasts_the_lifetime_is_said(lab: Place, tmp_path: Path) -> None:
    async with uploading_in_front(lab, tmp_path) as (terminal, session_id, go_on):
        terminal.type(SUSPEND)
        await terminal.run("echo stopped")
        await until(lambda: SessionEvent.EXPIRED in lab.events(session_id))
        go_on.touch()
        await terminal.run("fg")
        await terminal.shows(r"stopped for \d+ s, but sessions expire after 2 s")
        await terminal.shows("content did not arrive")


@extended
async def test_a_new_size_reaches_the_command_and_the_bar(lab: Place) -> None:
    named = lab.open_session()
    script = "trap 'stty size' WINCH; echo begun; while :; do sleep 0.02; done"
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--session", named, "--", "sh", "-c", script))
        await terminal.shows("begun")
        await until_in_front(terminal)
        await terminal.shows(r"\x1b\[24;1H")
        terminal.resize(60, 12)
        await terminal.shows(r"\x1b\[12;1H")
        assert "11 60" in terminal.text or "12 60" in terminal.text
        terminal.type(INTERRUPT)
        await terminal.shows("still open")


@extended
async def test_what_is_typed_is_the_commands(lab: Place) -> None:
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--", "sh", "-c", "echo begun; read word; echo got $word"))
        await terminal.shows("begun")
        await until_in_front(terminal)
        terminal.type("hello\n")
        await terminal.shows("got hello")


@extended
async def test_a_command_that_leaves_children_behind_gives_the_terminal_back(lab: Place) -> None:
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--", "sh", "-c", "sleep 30 & echo child=$!; exit 3"))
        child = int((await terminal.shows(r"child=\d+")).removeprefix("child="))
        try:
            await terminal.run("echo code=$?")
            await terminal.shows("code=3")
            assert terminal.foreground() == terminal.leader.pid
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


@asynccontextmanager
async def waiting_for_vcenter(lab: Place, folder: Path) -> AsyncIterator[Pty]:
    """Run an upload that leaves its session open to its end."""
    iso, go_on = image(folder), folder / "go on"
    words = (*UPLOADER, str(iso), "--gap", str(go_on), "--leave")
    async with a_shell(lab) as terminal:
        await terminal.run(line(lab, "--", *words))
        await lab.until_held()
        go_on.touch()
        await terminal.shows("waiting until vCenter has processed templates/image")
        yield terminal


@extended
async def test_ctrl_z_and_fg_while_vcenter_is_waited_for(lab: Place, tmp_path: Path) -> None:
    async with waiting_for_vcenter(lab, tmp_path) as terminal:
        (session_id,) = open_sessions(lab.simulator)
        terminal.type(SUSPEND)
        await terminal.run("echo stopped")
        await terminal.shows("stopped")
        last = lab.keep_alives(session_id)
        await terminal.run("fg")
        await until(lambda: len(lab.keep_alives(session_id)) > len(last))
        # The bar, which had gone from the stopped terminal, goes on behind the command, too.
        await terminal.shows(r"\x1b\[24;1H.*templates/image")
        terminal.type(INTERRUPT)
        await terminal.shows("still open: it was not completed")


@extended
async def test_ctrl_c_ends_the_wait_for_vcenter(lab: Place, tmp_path: Path) -> None:
    async with waiting_for_vcenter(lab, tmp_path) as terminal:
        terminal.type(INTERRUPT)
        await terminal.shows("still open: it was not completed")
        await terminal.run("echo code=$?")
        await terminal.shows("code=0")
