"""govmomi's own upload under `clkeepalived exec`, against a vcsim whose tokens idle out soon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from tests.support.cli import Ran
from tests.support.exec import Place, session_of
from tests.system.conftest import StartVCSim
from tests.system.test_vcsim_tokens import IDLE, PUT, SESSION_TIMEOUT, govc_environment, token_file
from tests.system.vcsim_peer import VCSim

pytestmark = pytest.mark.timeout(
    300
)  # The first test waits for the compiler, which is slow at first.


async def upload(vcsim: VCSim, program: Path, folder: Path, *options: str) -> Ran:
    """Upload a file under `exec`; the PUT takes longer than an unused token lives."""
    image = folder / "image.iso"
    image.write_bytes(os.urandom(200_000))
    item_id = await vcsim.new_item()
    config = folder / "exec.yaml"
    vcsim.configure(config, SESSION_TIMEOUT)
    place = Place(Simulator(), vcsim.url, config, govc_environment(vcsim, folder))
    # vcsim works out no version of its content: there is nothing to wait for behind `complete`.
    return await place.exec(*options, "--", str(program), "-item", item_id, "-put", PUT, str(image))


CACHED = (
    "govc's cached session is used as soon as it exists",
    "govc's cached session is kept alive",
)
NOT_KEPT = ("401 Unauthorized", "the command's API session was not kept alive")


@pytest.mark.parametrize(
    ("options", "code", "said", "state"),
    [((), 0, CACHED, "DONE"), (("--no-govc-session",), 1, NOT_KEPT, "ACTIVE")],
)
async def test_the_token_that_govc_caches_saves_the_upload(
    start_vcsim: StartVCSim,
    govmomi_upload: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    code: int,
    said: tuple[str, ...],
    state: str,
) -> None:
    vcsim = await start_vcsim(idle=IDLE)

    ran = await upload(vcsim, govmomi_upload, tmp_path, *options)

    assert ran.code == code, ran.err
    assert all(words in ran.err for words in said), ran.err
    # Without the token, the session is kept all the same.
    assert await vcsim.state(session_of(ran)) == state


async def test_a_token_from_a_file_saves_the_upload(
    start_vcsim: StartVCSim, govmomi_upload: Path, tmp_path: Path
) -> None:
    vcsim = await start_vcsim(idle=IDLE)
    # What an earlier run of the same program has cached is what the next one uses.
    before = await upload(vcsim, govmomi_upload, tmp_path)
    assert before.code == 0, before.err

    ran = await upload(vcsim, govmomi_upload, tmp_path, "--token-file", str(token_file(tmp_path)))

    assert ran.code == 0, ran.err
    assert "is kept alive" in ran.err
