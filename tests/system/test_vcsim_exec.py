"""govmomi's own upload under `clkeepalived exec`, against a vcsim whose tokens idle out soon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from tests.support.cli import Ran
from tests.support.exec import Place, session_of
from tests.system.conftest import StartVCSim
from tests.system.test_vcsim_tokens import IDLE, PUT, SESSION_TIMEOUT, govc_environment, token_file
from tests.system.vcsim_peer import USERNAME, VCSim

pytestmark = pytest.mark.timeout(
    300
)  # The first test waits for the compiler, which is slow at first.


async def upload(vcsim: VCSim, program: Path, folder: Path, *options: str) -> Ran:
    """Upload a file under `exec`; the PUT takes longer than an unused token lives."""
    image = folder / "image.iso"
    image.write_bytes(os.urandom(200_000))
    item_id = await vcsim.new_item()
    config = folder / "exec.yaml"
    vcenter = {
        "url": vcsim.url,
        "username": USERNAME,
        "password_env": "GOVC_PASSWORD",
        "fingerprints": [vcsim.fingerprint],
        "session_timeout": SESSION_TIMEOUT,
    }
    config.write_text(json.dumps({"vcenters": {"lab": vcenter}}))
    place = Place(Simulator(), vcsim.url, config, govc_environment(vcsim, folder))
    # vcsim works out no version of its content: there is nothing to wait for behind `complete`.
    return await place.exec(*options, "--", str(program), "-item", item_id, "-put", PUT, str(image))


async def test_the_token_that_govc_caches_saves_the_upload(
    start_vcsim: StartVCSim, govmomi_upload: Path, tmp_path: Path
) -> None:
    vcsim = await start_vcsim(idle=IDLE)

    ran = await upload(vcsim, govmomi_upload, tmp_path)

    assert ran.code == 0, ran.err
    assert "govc's cache holds none so far, and is looked at again" in ran.err
    assert "the API session of govc's cache is kept fresh" in ran.err
    assert await vcsim.state(session_of(ran)) == "DONE"


async def test_without_it_exec_keeps_the_session_and_the_upload_fails_all_the_same(
    start_vcsim: StartVCSim, govmomi_upload: Path, tmp_path: Path
) -> None:
    vcsim = await start_vcsim(idle=IDLE)

    ran = await upload(vcsim, govmomi_upload, tmp_path, "--no-govc-session")

    assert ran.code == 1, ran.err
    assert "401 Unauthorized" in ran.err
    assert "the command's own API session was not kept fresh" in ran.err
    assert await vcsim.state(session_of(ran)) == "ACTIVE"


async def test_a_token_from_a_file_saves_the_upload(
    start_vcsim: StartVCSim, govmomi_upload: Path, tmp_path: Path
) -> None:
    vcsim = await start_vcsim(idle=IDLE)
    # What an earlier run of the same program has cached is what the next one uses.
    before = await upload(vcsim, govmomi_upload, tmp_path)
    assert before.code == 0, before.err

    ran = await upload(vcsim, govmomi_upload, tmp_path, "--token-file", str(token_file(tmp_path)))

    assert ran.code == 0, ran.err
    assert "is kept fresh" in ran.err
