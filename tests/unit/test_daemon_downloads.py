"""Download sessions in the whole daemon, on the fake clock: in files, on the socket, discovered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from tests.support.control import caller_at
from tests.support.daemon_in_memory import MemoryDaemon, running
from tests.support.engine import NAME, simulator_in_loop

pytestmark = pytest.mark.looptime

LIFETIME = 300.0


@pytest.fixture
async def simulator() -> Simulator:
    """A simulator on which nothing but requests keeps a session alive."""
    return simulator_in_loop(put_counts_as_activity=False)


def told(simulator: Simulator, session_id: str) -> list[int | None]:
    """Return the progress that each keep-alive of a download session carried."""
    route = "download_session.keep_alive"
    sent = simulator.ledger.requests(route, session_id=session_id)
    return [entry.client_progress for entry in sent]


async def outlives(life: MemoryDaemon, session_id: str) -> None:
    """Check that a session is renewed for longer than it lives by itself."""
    before = len(told(life.simulator, session_id))
    await asyncio.sleep(2 * LIFETIME)
    assert len(told(life.simulator, session_id)) >= before + 3
    assert life.simulator.ledger.session(session_id).ended is None


async def test_in_a_file(simulator: Simulator, tmp_path: Path) -> None:
    lines = tmp_path / "sessions.yaml"
    async with running(simulator, tmp_path, session_files=[str(lines)]) as life:
        session_id = simulator.open_session(kind=Kind.DOWNLOAD)
        lines.write_text(f"sessions: [{{id: '{session_id}', kind: download, progress: 30}}]\n")
        await outlives(life, session_id)
        simulator.library.sessions.delete(Kind.DOWNLOAD, session_id)
        ended = await life.until_logged("session_ended", session_id=session_id)
        counts = await life.metrics()
    assert told(simulator, session_id)[0] == 30
    # The good end of a download, for which nobody is woken.
    assert (ended["level"], ended["state"], ended["content_moved"]) == ("info", "DONE", None)
    assert ended["reason"] == "deleted by its client"
    assert counts["clkeepalived_sessions_ended_total", "DONE", NAME] == 1
    assert counts["clkeepalived_sessions_ended_total", "REMOVED", NAME] == 0


async def test_over_the_socket(simulator: Simulator, tmp_path: Path) -> None:
    session_id = simulator.open_session(kind=Kind.DOWNLOAD)
    path = f"/v1/sessions/-/{session_id}?kind=download"
    async with running(simulator, tmp_path) as life, caller_at(life.socket) as me:
        assert (await me.put(path, {"owner": {"ttl": "1h"}})).status == 201
        assert (await me.patch(path, {"bytes_done": 5, "bytes_total": 10})).status == 200
        answer = await me.post(f"/v1/sessions/-/{session_id}/keep-alive?kind=download")
        assert answer.body["outcome"] == "ok"
        assert 50 in told(simulator, session_id)
        assert (await me.get(path)).body["kind"] == "download"
        # As an update session it is not known: the kind belongs to its name.
        assert (await me.get(f"/v1/sessions/-/{session_id}")).status == 404
        await outlives(life, session_id)
        assert (await me.delete(f"{path}&owner=ttl")).status == 200


async def test_a_hold_outlives_a_restart(simulator: Simulator, tmp_path: Path) -> None:
    session_id = simulator.open_session(kind=Kind.DOWNLOAD)
    path = f"/v1/sessions/-/{session_id}?kind=download"
    async with running(simulator, tmp_path) as life, caller_at(life.socket) as me:
        assert (await me.put(path, {"owner": None})).status == 201
        await life.until_logged("first_renewal", session_id=session_id)
    async with running(simulator, tmp_path) as life:
        await outlives(life, session_id)


async def test_discovered(simulator: Simulator, tmp_path: Path) -> None:
    async with running(simulator, tmp_path, vcenters={NAME: {"discover": True}}) as life:
        session_id = simulator.open_session(kind=Kind.DOWNLOAD)
        await life.until_logged("first_renewal", session_id=session_id, kind="download")
        await outlives(life, session_id)
