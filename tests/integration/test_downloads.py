"""Download sessions, at every door at which an update session may knock."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import keepalived
from keepalived.keeper.observer import SessionEnd
from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.resources import SessionEvent, SourceType
from tests.support.cli import Ran, run
from tests.support.control import caller_at
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, serving
from tests.support.exec import Place, place, session_of
from tests.support.held import ROOT, lab

pytestmark = pytest.mark.timeout(60)

LIFETIME = 6.0
DOWNLOAD = ("--kind", "download")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, LIFETIME, put_counts_as_activity=False) as here:
        yield here


def opened(here: Place) -> str:
    """Open a download session of an item that has content."""
    return here.simulator.open_session(kind=Kind.DOWNLOAD)


def opened_early(here: Place) -> str:
    """Open one that is there long enough for a process to start."""
    sessions = here.simulator.library.sessions
    sessions.timeout, usual = 60.0, sessions.timeout
    session_id = opened(here)
    sessions.timeout = usual
    return session_id


def filled(simulator: Simulator) -> str:
    """Make an item with some content; return its id."""
    library = simulator.library
    session = library.open_session(simulator.username)
    ticket = library.transfers.add(session.id, "image.iso", SourceType.PUSH, size=30).ticket
    put = library.transfers.begin_upload(ticket)
    put.write(b"x" * 30)
    put.finish()
    library.sessions.complete(Kind.UPDATE, session.id)
    return session.item_id


def told(simulator: Simulator, session_id: str) -> list[int | None]:
    """Return the progress that each keep-alive of a download session carried."""
    route = "download_session.keep_alive"
    sent = simulator.ledger.requests(route, session_id=session_id)
    return [entry.client_progress for entry in sent]


def configure(here: Place, folder: Path, vcenter: str = "", more: str = "") -> Path:
    """Write the configuration of a daemon; return the path of its control socket."""
    socket = folder / "control.sock"
    here.config.write_text(
        f"vcenters:\n  lab:\n    url: {here.url}\n    username: {here.simulator.username}\n"
        f"    password_env: {PASSWORD_VARIABLE}\n    session_timeout: {LIFETIME}\n{vcenter}"
        f"control: {{socket: {socket}}}\nstate: {{path: {folder}/state.db}}\n"
        f"http: {{listen: '127.0.0.1:0'}}\n{more}"
    )
    return socket


async def renewed(daemon: Daemon, here: Place, session_id: str, times: int = 2) -> None:
    """Wait until a session was renewed; four times is for longer than it lives."""
    await daemon.until(lambda: len(told(here.simulator, session_id)) >= times, seconds=20)
    assert here.simulator.ledger.session(session_id).ended is None


async def test_in_a_file(here: Place, tmp_path: Path) -> None:
    lines = tmp_path / "sessions.yaml"
    configure(here, tmp_path, more=f"session_files: [{lines}]\n")
    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("ready", seconds=30)
        session_id = opened(here)
        lines.write_text(f"sessions: [{{id: '{session_id}', kind: download, progress: 30}}]\n")
        await renewed(daemon, here, session_id, 4)
        here.simulator.library.sessions.delete(Kind.DOWNLOAD, session_id)
        ended = await daemon.event("session_ended", session_id=session_id)
        counts = await daemon.metrics()
    assert told(here.simulator, session_id)[0] == 30
    # The good end of a download, which nobody is to be woken for.
    assert (ended["level"], ended["state"], ended["content_moved"]) == ("info", "DONE", None)
    assert ended["reason"] == "deleted by its client"
    assert counts["clkeepalived_sessions_ended_total", "REMOVED", "lab"] == 0


async def test_by_the_command_line(here: Place, tmp_path: Path) -> None:
    socket = configure(here, tmp_path)

    async def good(*words: str) -> Ran:
        ran = await run(socket, *words)
        assert (ran.code, ran.err) == (0, "")
        return ran

    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("ready", seconds=30)
        session_id = opened(here)
        held = await good("hold", session_id, *DOWNLOAD, "--no-owner", "--progress", "10")
        assert held.out.startswith(f"holding {session_id} of lab")
        await good("progress", session_id, "42", *DOWNLOAD)
        await good("renew", session_id, *DOWNLOAD)
        assert max(each or 0 for each in told(here.simulator, session_id)) == 42
        await renewed(daemon, here, session_id)
        assert session_id in (await good("status", session_id, *DOWNLOAD)).out
        assert " download " in (await good("status")).out
        assert session_id in (await good("sessions", *DOWNLOAD)).out
        assert session_id not in (await good("sessions")).out
        await good("release", session_id, *DOWNLOAD)
        await daemon.event("session_ended", session_id=session_id, state="RELEASED")
        # As an update session nobody knows it: the kind belongs to its name.
        assert (await run(socket, "release", session_id)).code != 0
        await good("cancel", session_id, *DOWNLOAD, "--yes")
    assert [each.value for each in here.events(session_id)] == ["created", "cancelled"]


async def test_over_the_socket(here: Place, tmp_path: Path) -> None:
    socket = configure(here, tmp_path)
    async with (
        serving(here.config, here.simulator.password) as daemon,
        caller_at(socket) as me,
    ):
        await daemon.event("ready", seconds=30)
        session_id = opened(here)
        path = f"/v1/sessions/-/{session_id}?kind=download"
        assert (await me.put(path, {"owner": {"ttl": "1m"}})).status == 201
        assert (await me.patch(path, {"bytes_done": 5, "bytes_total": 10})).status == 200
        answer = await me.post(f"/v1/sessions/-/{session_id}/keep-alive?kind=download")
        assert answer.body["outcome"] == "ok"
        assert 50 in told(here.simulator, session_id)
        assert (await me.get(path)).body["kind"] == "download"
        await renewed(daemon, here, session_id)
        assert (await me.delete(f"{path}&owner=ttl")).status == 200


async def test_a_hold_outlives_a_crash(here: Place, tmp_path: Path) -> None:
    here.simulator.library.sessions.timeout = 60.0  # a new process takes its time
    socket = configure(here, tmp_path)
    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("ready", seconds=30)
        session_id = opened(here)
        assert (await run(socket, "hold", session_id, *DOWNLOAD, "--no-owner")).code == 0
    before = len(told(here.simulator, session_id))
    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("first_renewal", session_id=session_id, seconds=30)
    assert len(told(here.simulator, session_id)) > before


async def test_discovered(here: Place, tmp_path: Path) -> None:
    configure(here, tmp_path, vcenter="    discover: true\n")
    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("ready", seconds=30)
        await renewed(daemon, here, opened(here))


async def test_cancelled_without_a_daemon(here: Place) -> None:
    session_id = opened_early(here)
    words = ("cancel", "--direct", "--config", str(here.config), "--yes", *DOWNLOAD, session_id)
    ran = await here.clkeepalived(*words)
    assert (ran.code, ran.out) == (0, f"cancelled {session_id}\n")
    assert [each.value for each in here.events(session_id)] == ["created", "cancelled"]


async def test_named_to_exec(here: Place) -> None:
    session_id = opened_early(here)
    ran = await here.exec("--session", session_id, *DOWNLOAD, "--", "sleep", str(1.2 * LIFETIME))
    assert ran.code == 0, ran.err
    assert here.simulator.ledger.session(session_id).ended is None
    *_, last, cancel = ran.err.splitlines()
    assert last.startswith("clkeepalived: library/image.ova (download), still open; held ")
    assert cancel.endswith(f"--kind download {session_id}")


@pytest.mark.parametrize(
    ("gap", "more"), [(1.2 * LIFETIME, ()), (0.0, ("--leave",))], ids=["deleted", "left open"]
)
async def test_opened_by_a_command(here: Place, gap: float, more: tuple[str, ...]) -> None:
    item_id = filled(here.simulator)
    words = (sys.executable, "-m", "tests.support.downloader", item_id, str(gap), *more)
    ran = await here.exec("--item", "library/image.ova", "--", *words, PYTHONPATH=str(ROOT))
    assert ran.code == 0, ran.err
    session_id = session_of(ran)
    assert ran.out.endswith("30 bytes\n")
    end = "still open" if more else "deleted by its client"
    assert f"clkeepalived: library/image.ova (download), {end}; held " in ran.err
    assert "arrive" not in ran.err
    # Nothing becomes of a download that its command has left: nobody waits for it.
    assert "waiting" not in ran.err
    deletions = [each for each in here.events(session_id) if each is SessionEvent.DELETED]
    assert len(deletions) == (0 if more else 1)


def cancelled(simulator: Simulator, session_id: str) -> None:
    simulator.library.sessions.cancel(Kind.DOWNLOAD, session_id)


def deleted(simulator: Simulator, session_id: str) -> None:
    simulator.library.sessions.delete(Kind.DOWNLOAD, session_id)


@pytest.mark.parametrize(
    ("end", "state"), [(cancelled, "CANCELED"), (deleted, "DONE")], ids=["cancelled", "deleted"]
)
def test_in_a_script(end: Callable[[Simulator, str], None], state: str) -> None:
    ends: list[SessionEnd] = []
    with lab(session_timeout=LIFETIME, put_counts_as_activity=False) as vcenter:
        session_id = vcenter.open(Kind.DOWNLOAD)
        with keepalived.hold(
            vcenter.url,
            session_id,
            kind="download",
            session_timeout=LIFETIME,
            **vcenter.credentials(),
        ) as held:
            held.on_end(ends.append)
            held.progress(3, 4)
            until = time.monotonic() + 20
            while not vcenter.told(session_id):
                assert time.monotonic() < until
                time.sleep(0.01)
            vcenter.do(end, vcenter.simulator, session_id)
        assert vcenter.told(session_id) == [75]
        assert vcenter.logged_in() == 0
    assert [(each.state.value, each.content_moved) for each in ends] == [(state, None)]
