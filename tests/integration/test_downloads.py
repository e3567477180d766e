"""Download sessions on the command line, under `exec` and in scripts, as real processes.

What the daemon does for them is shown on the fake clock, by tests/unit/test_daemon_downloads.py.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import keepalived
from keepalived.lease.events import SessionEnd
from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.resources import SessionEvent, SourceType
from tests.support.cli import Ran, run
from tests.support.daemon import PASSWORD_VARIABLE, serving
from tests.support.exec import Place, ended, place, session_of, waiting
from tests.support.held import ROOT, lab, within
from tests.support.pty import until

LIFETIME, SERVED = 2.0, 120.0
"""The configured and the actual lifetime of sessions: they are renewed every second."""
DOWNLOAD = ("--kind", "download")

extended = pytest.mark.extended


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    how = {"put_counts_as_activity": False}
    async with place(tmp_path, LIFETIME, served_lifetime=SERVED, **how) as here:
        yield here


def opened(here: Place) -> str:
    """Open a download session of an item that has content."""
    return here.simulator.open_session(kind=Kind.DOWNLOAD)


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


def told(simulator: Simulator, session_id: str | None = None) -> list[int | None]:
    """Return the progress that the keep-alives of download sessions carried."""
    route = "download_session.keep_alive"
    sent = simulator.ledger.requests(route, session_id=session_id)
    return [entry.client_progress for entry in sent]


async def until_renewed(here: Place, session_id: str | None = None) -> None:
    """Wait until a session, or any, was renewed three more times."""
    before = len(told(here.simulator, session_id))
    await until(lambda: len(told(here.simulator, session_id)) >= before + 3)


def configure(here: Place, folder: Path) -> Path:
    """Write the configuration of a daemon; return the path of its control socket."""
    socket = folder / "control.sock"
    here.config.write_text(
        f"vcenters:\n  lab:\n    url: {here.url}\n    username: {here.simulator.username}\n"
        f"    password_env: {PASSWORD_VARIABLE}\n    session_timeout: {LIFETIME}\n"
        f"    request_timeout: {SERVED}\n"
        f"control: {{socket: {socket}}}\nstate: {{path: {folder}/state.db}}\n"
        f"http: {{listen: '127.0.0.1:0'}}\n"
    )
    return socket


@extended
async def test_by_the_command_line(here: Place, tmp_path: Path) -> None:
    socket = configure(here, tmp_path)

    async def good(*words: str) -> Ran:
        ran = await run(socket, *words)
        assert (ran.code, ran.err) == (0, "")
        return ran

    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("ready")
        session_id = opened(here)
        held = await good("hold", session_id, *DOWNLOAD, "--no-owner", "--progress", "10")
        assert held.out.startswith(f"holding {session_id} of lab")
        await good("progress", session_id, "42", *DOWNLOAD)
        await good("renew", session_id, *DOWNLOAD)
        assert max(each or 0 for each in told(here.simulator, session_id)) == 42
        await until_renewed(here, session_id)
        assert session_id in (await good("status", session_id, *DOWNLOAD)).out
        assert " download " in (await good("status")).out
        assert session_id in (await good("sessions", *DOWNLOAD)).out
        assert session_id not in (await good("sessions")).out
        await good("release", session_id, *DOWNLOAD)
        await daemon.event("session_ended", session_id=session_id, state="RELEASED")
        # It is unknown as an update session: the kind is part of its name.
        assert (await run(socket, "release", session_id)).code != 0
        await good("cancel", session_id, *DOWNLOAD, "--yes")
    assert [each.value for each in here.events(session_id)] == ["created", "cancelled"]


@extended
async def test_a_hold_outlives_a_crash(here: Place, tmp_path: Path) -> None:
    socket = configure(here, tmp_path)
    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.event("ready")
        session_id = opened(here)
        assert (await run(socket, "hold", session_id, *DOWNLOAD, "--no-owner")).code == 0
    # It was killed.
    assert len(here.simulator.ledger.requests("session.delete")) == 0
    before = len(told(here.simulator, session_id))
    async with serving(here.config, here.simulator.password) as daemon:
        await daemon.until(lambda: len(told(here.simulator, session_id)) > before)


@extended
async def test_cancelled_without_a_daemon(here: Place) -> None:
    session_id = opened(here)
    words = ("cancel", "--direct", "--config", str(here.config), "--yes", *DOWNLOAD, session_id)
    ran = await here.clkeepalived(*words)
    assert (ran.code, ran.out) == (0, f"cancelled {session_id}\n")
    assert [each.value for each in here.events(session_id)] == ["created", "cancelled"]


@extended
async def test_named_to_exec(here: Place, tmp_path: Path) -> None:
    session_id, go_on = opened(here), tmp_path / "go on"
    words = ("--session", session_id, *DOWNLOAD, "--", *waiting(go_on))
    async with here.started(*words) as process:
        await until_renewed(here, session_id)
        go_on.touch()
        ran = await ended(process)
    assert ran.code == 0, ran.err
    assert here.simulator.ledger.session(session_id).ended is None
    *_, last, cancel = ran.err.splitlines()
    assert last.startswith("clkeepalived: library/image.ova (download), still open; held ")
    assert cancel.endswith(f"--kind download {session_id}")


@pytest.mark.parametrize("more", [(), pytest.param(("--leave",), marks=extended)])
async def test_opened_by_a_command(here: Place, tmp_path: Path, more: tuple[str, ...]) -> None:
    item_id, go_on = filled(here.simulator), tmp_path / "go on"
    words = (sys.executable, "-m", "tests.support.downloader", item_id, str(go_on), *more)
    async with here.started(
        "--item", "library/image.ova", "--", *words, PYTHONPATH=str(ROOT)
    ) as process:
        await until_renewed(here)
        go_on.touch()
        ran = await ended(process)
    assert ran.code == 0, ran.err
    session_id = session_of(ran)
    assert ran.out.endswith("30 bytes\n")
    end = "still open" if more else "deleted by its client"
    assert f"clkeepalived: library/image.ova (download), {end}; held " in ran.err
    assert "arrive" not in ran.err
    # `exec` does not wait for a download that its command has left open.
    assert "waiting" not in ran.err
    deletions = [each for each in here.events(session_id) if each is SessionEvent.DELETED]
    assert len(deletions) == (0 if more else 1)


def cancelled(simulator: Simulator, session_id: str) -> None:
    simulator.library.sessions.cancel(Kind.DOWNLOAD, session_id)


def deleted(simulator: Simulator, session_id: str) -> None:
    simulator.library.sessions.delete(Kind.DOWNLOAD, session_id)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        pytest.param(cancelled, "CANCELED", id="cancelled", marks=extended),
        pytest.param(deleted, "DONE", id="deleted"),
    ],
)
def test_in_a_script(end: Callable[[Simulator, str], None], state: str) -> None:
    ends: list[SessionEnd] = []
    with lab(session_timeout=SERVED, put_counts_as_activity=False) as vcenter:
        session_id = vcenter.open(Kind.DOWNLOAD)
        with keepalived.hold(
            vcenter.url,
            session_id,
            kind="download",
            session_timeout=5 * LIFETIME,
            **vcenter.credentials(),
        ) as held:
            held.on_end(ends.append)
            held.progress(3, 4)
            within(lambda: bool(vcenter.told(session_id)))
            vcenter.do(end, vcenter.simulator, session_id)
        # Once, or again where its answer came too late for a busy machine.
        assert set(vcenter.told(session_id)) == {75}
        assert vcenter.logged_in() == 0
    assert [(each.state.value, each.content_moved) for each in ends] == [(state, None)]
