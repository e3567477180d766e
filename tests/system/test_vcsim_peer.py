"""What vcsim does, on its own: the ground on which test_vcsim.py stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.system.vcsim_peer import CONTENT, UPDATE_SESSION, Reply, VCSim, running

pytestmark = pytest.mark.timeout(
    300
)  # The first test waits for the compiler, which is slow at first.


@pytest.fixture
async def vcsim(vcsim_binary: Path) -> AsyncIterator[VCSim]:
    async with running(vcsim_binary) as vcsim:
        yield vcsim


async def test_it_knows_no_api_dialect_and_says_so_in_plain_text(vcsim: VCSim) -> None:
    reply = await vcsim.send("POST", "/api/session")
    assert reply == Reply(404, "404 page not found\n")


async def test_a_new_session_is_active_and_good_for_an_hour(vcsim: VCSim) -> None:
    session_id = await vcsim.open_session()
    session = await vcsim.call("GET", f"{UPDATE_SESSION}/id:{session_id}")
    assert isinstance(session, dict)
    assert session["state"] == "ACTIVE"
    left = datetime.fromisoformat(session["expiration_time"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


async def test_it_lists_sessions_and_no_files(vcsim: VCSim) -> None:
    session_id = await vcsim.open_session()
    assert await vcsim.call("GET", UPDATE_SESSION) == [session_id]
    files = f"{CONTENT}/library/item/updatesession/file?update_session_id={session_id}"
    assert await vcsim.call("GET", files) is None


@pytest.mark.parametrize(
    ("action", "state"), [("cancel", "CANCELED"), ("complete", "DONE"), ("fail", "ERROR")]
)
async def test_it_keeps_any_session_alive_and_only_get_tells_its_end(
    vcsim: VCSim, action: str, state: str
) -> None:
    session_id = await vcsim.open_session()
    await vcsim.act(session_id, action)
    await vcsim.act(session_id, "keep-alive")
    assert await vcsim.state(session_id) == state


async def test_a_session_that_is_gone_is_a_plain_text_404(vcsim: VCSim) -> None:
    session_id = await vcsim.open_session()
    await vcsim.delete(session_id)
    path = f"{UPDATE_SESSION}/id:{session_id}?~action=keep-alive"
    assert await vcsim.send("POST", path, {}) == Reply(404, "404 page not found\n")


async def test_an_idle_token_ends_in_a_401_without_words(vcsim_binary: Path) -> None:
    async with running(vcsim_binary, idle_timeout="1s") as vcsim:
        token = {"vmware-api-session-id": await vcsim.log_in()}
        assert (await vcsim.send("GET", UPDATE_SESSION, **token)).status == 200
        # vcsim looks at its tokens once a second; asking would keep this one alive.
        await asyncio.sleep(3)
        assert await vcsim.send("GET", UPDATE_SESSION, **token) == Reply(401, "")
