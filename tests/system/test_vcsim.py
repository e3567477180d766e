"""`clkeepalived serve` against vcsim: another program's idea of what a vCenter is."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.daemon import PASSWORD_VARIABLE, Daemon, serving
from tests.system.vcsim_peer import PASSWORD, USERNAME, VCSim, running

pytestmark = pytest.mark.timeout(
    300
)  # The first test waits for the compiler, which is slow at first.

SESSION_TIMEOUT = 5.0
RENEWALS = ("clkeepalived_keep_alives_total", "ok", "lab")


@pytest.fixture
async def vcsim(vcsim_binary: Path) -> AsyncIterator[VCSim]:
    async with running(vcsim_binary) as vcsim:
        yield vcsim


@asynccontextmanager
async def holding(vcsim: VCSim, folder: Path, *session_ids: str) -> AsyncIterator[Daemon]:
    """Run the daemon with what a user would write, and nothing about dialects."""
    config = folder / "config.yaml"
    config.write_text(
        "vcenters:\n"
        "  lab:\n"
        f"    url: {vcsim.url}/sdk\n"
        f"    username: {USERNAME}\n"
        f"    password_env: {PASSWORD_VARIABLE}\n"
        f"    fingerprints: ['{vcsim.fingerprint}']\n"
        f"    session_timeout: {SESSION_TIMEOUT}\n"
        "sessions:\n"
        + "".join(f"  - {{id: '{each}', progress: 10}}\n" for each in session_ids)
        + "http: {listen: '127.0.0.1:0'}\n"
        "log: {level: debug}\n"
    )
    async with serving(config, PASSWORD) as daemon:
        yield daemon


async def renewed(daemon: Daemon, times: int) -> dict[tuple[str, ...], float]:
    """Wait until that many keep-alives went well, and return all metrics."""
    async with asyncio.timeout(times * SESSION_TIMEOUT):
        # Another process can only be asked again.
        while (metrics := await daemon.metrics())[RENEWALS] < times:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return metrics


def failures(daemon: Daemon) -> list[object]:
    return [each for each in daemon.events if each["event"] == "renewal_failed"]


async def end_of(daemon: Daemon, session_id: str) -> tuple[object, object]:
    """Wait for the end of a session; return its state, and how loudly it was said."""
    ended = await daemon.event("session_ended", session_id=session_id)
    return ended["state"], ended["level"]


async def test_the_rest_dialect_is_found_and_a_session_held(vcsim: VCSim, tmp_path: Path) -> None:
    session_id = await vcsim.open_session()
    async with holding(vcsim, tmp_path, session_id) as daemon:
        metrics = await renewed(daemon, 3)
        assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1
        assert metrics["clkeepalived_logins_total", "ok", "lab"] == 1
        assert failures(daemon) == []
    assert await vcsim.state(session_id) == "ACTIVE"


@asynccontextmanager
async def holding_two(vcsim: VCSim, folder: Path) -> AsyncIterator[tuple[Daemon, str]]:
    """Hold two sessions, and yield one of them after its first renewal."""
    one, other = await vcsim.open_session(), await vcsim.open_session()
    async with holding(vcsim, folder, one, other) as daemon:
        await daemon.event("first_renewal", session_id=one)
        yield daemon, one


async def test_a_cancel_is_noticed_though_keep_alives_go_on_succeeding(
    vcsim: VCSim, tmp_path: Path
) -> None:
    async with holding_two(vcsim, tmp_path) as (daemon, canceled):
        await vcsim.act(canceled, "cancel")
        assert await end_of(daemon, canceled) == ("CANCELED", "warning")
        metrics = await renewed(daemon, 4)
        assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1
        assert metrics["clkeepalived_sessions_ended_total", "CANCELED", "lab"] == 1


async def test_a_completed_session_is_done(vcsim: VCSim, tmp_path: Path) -> None:
    session_id = await vcsim.open_session()
    async with holding(vcsim, tmp_path, session_id) as daemon:
        await daemon.event("first_renewal", session_id=session_id)
        await vcsim.act(session_id, "complete")
        assert await end_of(daemon, session_id) == ("DONE", "info")


async def test_an_expired_api_session_costs_a_login_and_nothing_else(
    vcsim_binary: Path, tmp_path: Path
) -> None:
    # An idle second ends a token, and renewals are more than two seconds apart.
    async with running(vcsim_binary, idle_timeout="1s") as vcsim:
        session_id = await vcsim.open_session()
        async with holding(vcsim, tmp_path, session_id) as daemon:
            metrics = await renewed(daemon, 5)
            assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1
            assert metrics["clkeepalived_logins_total", "ok", "lab"] >= 3
            assert failures(daemon) == []


async def test_a_deleted_session_was_removed_it_did_not_expire(
    vcsim: VCSim, tmp_path: Path
) -> None:
    async with holding_two(vcsim, tmp_path) as (daemon, deleted):
        await vcsim.delete(deleted)
        assert await end_of(daemon, deleted) == ("REMOVED", "warning")
        # The 404 has not caused a dialect check: the other session is renewed with the same login.
        before = (await daemon.metrics())[RENEWALS]
        metrics = await renewed(daemon, int(before) + 1)
        assert metrics["clkeepalived_logins_total", "ok", "lab"] == 1
        assert metrics["clkeepalived_sessions", "ACTIVE", "lab"] == 1


@pytest.mark.parametrize("company", [False, True], ids=["alone", "beside a good one"])
async def test_an_id_that_never_was_is_not_found(
    vcsim: VCSim, tmp_path: Path, *, company: bool
) -> None:
    never = str(uuid.uuid4())
    good = [await vcsim.open_session()] if company else []
    async with holding(vcsim, tmp_path, never, *good) as daemon:
        assert await end_of(daemon, never) == ("NOT_FOUND", "error")
        for session_id in good:
            await daemon.event("first_renewal", session_id=session_id)
