"""The reported loss, with govmomi against vcsim: a token that idles out while one PUT goes on."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.cli import line_of, run
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, serving
from tests.support.programs import program
from tests.system.conftest import StartVCSim
from tests.system.vcsim_peer import PASSWORD, USERNAME, VCSim

pytestmark = pytest.mark.timeout(
    300
)  # The first test waits for the compiler, which is slow at first.

IDLE = 3.0
PUT = "8s"  # vcsim looks for idle tokens every three seconds: this one is gone after six.
SESSION_TIMEOUT = 3.0  # so that renewals are less than an idle timeout apart


@asynccontextmanager
async def daemon_for(vcsim: VCSim, folder: Path) -> AsyncIterator[Daemon]:
    config = folder / "config.yaml"
    config.write_text(
        "vcenters:\n"
        "  lab:\n"
        f"    url: {vcsim.url}\n"
        f"    username: {USERNAME}\n"
        f"    password_env: {PASSWORD_VARIABLE}\n"
        f"    fingerprints: ['{vcsim.fingerprint}']\n"
        f"    session_timeout: {SESSION_TIMEOUT}\n"
        f"control: {{socket: {folder / 'control.sock'}}}\n"
        f"state: {{path: {folder / 'state.db'}}}\n"
        "http: {listen: '127.0.0.1:0'}\n"
    )
    async with serving(config, PASSWORD) as daemon:
        await daemon.event("ready", seconds=30)
        yield daemon


def govc_environment(vcsim: VCSim, folder: Path) -> dict[str, str]:
    """Return what people set for govc, with a cache of its own."""
    known = {name: text for name, text in os.environ.items() if not name.startswith("GOVC_")}
    return {
        **known,
        "GOVC_URL": vcsim.url,
        "GOVC_USERNAME": USERNAME,
        "GOVC_PASSWORD": PASSWORD,
        "GOVC_INSECURE": "true",
        "GOVMOMI_HOME": str(folder / "govmomi"),
    }


@asynccontextmanager
async def uploading(uploader: Path, vcsim: VCSim, folder: Path) -> AsyncIterator[Process]:
    """Start an upload whose PUT takes longer than an unused token lives."""
    image = folder / "image.iso"
    image.write_bytes(os.urandom(200_000))
    item_id = await vcsim.new_item()
    words = ("-item", item_id, "-put", PUT, image)
    async with program(uploader, *words, env=govc_environment(vcsim, folder)) as process:
        yield process


async def session_of(uploader: Process) -> str:
    return (await line_of(uploader.stdout, "session ")).split()[1]


async def outcome(uploader: Process) -> tuple[int, str]:
    """Wait for the upload's end: its code, and what it complained of."""
    async with asyncio.timeout(30):
        _, told = await uploader.communicate()
    assert uploader.returncode is not None
    return uploader.returncode, told.decode()


async def test_a_long_put_loses_its_token_and_with_it_the_upload(
    start_vcsim: StartVCSim, govmomi_upload: Path, tmp_path: Path
) -> None:
    vcsim = await start_vcsim(idle=IDLE)
    async with uploading(govmomi_upload, vcsim, tmp_path) as uploader:
        session_id = await session_of(uploader)
        code, told = await outcome(uploader)

    assert code == 1
    assert told.rstrip().endswith("401 Unauthorized")
    assert "action=complete" in told
    assert await vcsim.state(session_id) == "ACTIVE"


async def test_to_hold_the_session_alone_is_not_enough(
    start_vcsim: StartVCSim, govmomi_upload: Path, tmp_path: Path
) -> None:
    vcsim = await start_vcsim(idle=IDLE)
    async with (
        daemon_for(vcsim, tmp_path) as daemon,
        uploading(govmomi_upload, vcsim, tmp_path) as uploader,
    ):
        session_id = await session_of(uploader)
        held = await run(tmp_path / "control.sock", "hold", session_id, "--no-owner")
        assert held.code == 0, held.err
        code, told = await outcome(uploader)
        await daemon.event("first_renewal", session_id=session_id)

    assert code == 1
    assert told.rstrip().endswith("401 Unauthorized")


@pytest.mark.parametrize("borrowed", ["from a file", "from govc"])
async def test_a_hold_with_the_uploader_s_token_saves_the_upload(
    start_vcsim: StartVCSim,
    govmomi_upload: Path,
    tmp_path: Path,
    borrowed: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vcsim = await start_vcsim(idle=IDLE)
    for name, text in govc_environment(vcsim, tmp_path).items():
        monkeypatch.setenv(name, text)
    async with (
        daemon_for(vcsim, tmp_path) as daemon,
        uploading(govmomi_upload, vcsim, tmp_path) as uploader,
    ):
        session_id = await session_of(uploader)
        how = ["--govc-session"]
        if borrowed == "from a file":
            how = ["--token-file", str(token_file(tmp_path))]
        held = await run(tmp_path / "control.sock", "hold", session_id, "--no-owner", *how)
        assert held.code == 0, held.err
        code, told = await outcome(uploader)
        ended = await daemon.event("session_ended", session_id=session_id)

    assert (code, told) == (0, "")
    assert ended["state"] == "DONE"
    assert await vcsim.state(session_id) == "DONE"


def token_file(folder: Path) -> Path:
    """Write the token that govmomi cached into a file of its own."""
    (cached,) = (folder / "govmomi/rest_sessions").iterdir()
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(json.loads(cached.read_text())["SessionID"])
    return file
