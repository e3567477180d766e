"""`clkeepalived probe` on vcsim: where nothing expires and everything succeeds, it says so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.cli import COMMAND
from tests.support.programs import program
from tests.system.vcsim_peer import CONTENT, PASSWORD, UPDATE_SESSION, USERNAME, VCSim, running

pytestmark = pytest.mark.timeout(900)  # The first test waits for the compiler.

LIBRARY = "scratch"


@asynccontextmanager
async def probing(vcsim: VCSim, folder: Path, *words: str) -> AsyncIterator[Process]:
    config = folder / "config.yaml"
    vcenter = {
        "url": f"{vcsim.url}/sdk",
        "username": USERNAME,
        "password_env": "VCSIM_PASSWORD",
        "fingerprints": [vcsim.fingerprint],
    }
    config.write_text(json.dumps({"vcenters": {"lab": vcenter}}))
    command = (*COMMAND, "probe", "--config", str(config), *words)
    async with program(*command, env={**os.environ, "VCSIM_PASSWORD": PASSWORD}) as process:
        yield process


async def all_there_is(vcsim: VCSim) -> dict[str, list[str]]:
    """Return the ids of what vcsim has: items by their libraries, and update sessions."""
    there = {"sessions": await listed(vcsim, UPDATE_SESSION)}
    for library_id in await listed(vcsim, f"{CONTENT}/library"):
        path = f"{CONTENT}/library/item?library_id={library_id}"
        there[library_id] = await listed(vcsim, path)
    return there


async def listed(vcsim: VCSim, path: str) -> list[str]:
    ids = await vcsim.call("GET", path)
    return sorted(map(str, ids)) if isinstance(ids, list) else []


@pytest.mark.parametrize("is_made", [False, True], ids=["in a library", "in one of its own"])
async def test_it_says_what_it_could_not_see(
    vcsim_binary: Path, tmp_path: Path, *, is_made: bool
) -> None:
    async with running(vcsim_binary) as vcsim:
        await vcsim.new_item(LIBRARY, "clkeepalived-probe-of-another-user")
        await vcsim.open_session()
        before = await all_there_is(vcsim)
        made = ("--library", "made for this", "--datastore", vcsim.datastore)
        where = made if is_made else ("--library", LIBRARY)
        async with probing(vcsim, tmp_path, *where, "--limit", "4s", "--json", "-") as process:
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        report = json.loads(out)
        found = {name: each["answer"] for name, each in report["findings"].items()}
        assert found == {
            "untouched_lifetime": "not measured",
            "get_moves_expiration_time": "no",
            "get_keeps_alive": "not measured",
            "keep_alive_moves_expiration_time": "yes",
            "keep_alive_keeps_alive": "not measured",
            "put_moves_expiration_time": "no",
            "put_keeps_alive": "not measured",
            "bytes_transferred_moves_during_put": "no",
            "second_session_on_an_item": "told",
            "progress_that_stays": "told",
            "progress_that_falls": "told",
        }
        words = {name: each["words"] for name, each in report["findings"].items()}
        assert words["untouched_lifetime"].startswith("did not expire within 4s (announced: ")
        assert words["second_session_on_an_item"] == "accepted: HTTP 200"
        assert words["progress_that_stays"] == "accepted: HTTP 200"
        assert words["progress_that_falls"].endswith("it is 0")
        assert report["suggestion"]["session_timeout_seconds"] is None
        assert (report["dialect"], report["is_whole"]) == ("rest", True)
        assert report["observations"]["put_end"]["accepted"]
        assert await all_there_is(vcsim) == before


async def test_an_interruption_leaves_nothing_behind(vcsim_binary: Path, tmp_path: Path) -> None:
    async with running(vcsim_binary) as vcsim:
        before = await all_there_is(vcsim)
        where = ("--library", "made for this", "--datastore", vcsim.datastore)
        async with probing(vcsim, tmp_path, *where) as process:
            async with asyncio.timeout(30):
                # Another process can only be asked again.
                while len(await listed(vcsim, UPDATE_SESSION)) < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
        assert process.returncode == 128 + signal.SIGTERM, err.decode()
        assert await all_there_is(vcsim) == before
