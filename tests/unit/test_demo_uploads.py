"""Uploads against the simulated vCenter: what becomes of them is noted, whatever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keepalived.demo.keeper import DemoSessionFile
from keepalived.demo.uploads import FAILURE, DemoUpload, Scenario, Uploader, uploading
from keepalived.lease.model import Kind
from keepalived.settings import read_sessions
from keepalived.simulator.app import DEFAULT_USERNAME, Simulator
from keepalived.simulator.faults import Fail, Reset
from keepalived.simulator.server import serve

MIB = 1024 * 1024


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


@pytest.fixture
async def uploader(simulator: Simulator) -> AsyncIterator[Uploader]:
    async with (
        serve(simulator) as url,
        uploading(url, DEFAULT_USERNAME, simulator.password) as uploader,
    ):
        yield uploader


def planned(scenario: Scenario = Scenario.KEPT) -> DemoUpload:
    return DemoUpload("disk.ova", scenario, MIB, checksum=0.01, queue=0.01)


async def test_an_upload_arrives(uploader: Uploader) -> None:
    upload = planned()
    await uploader.open(upload)
    await uploader.carry_out(upload)
    item = await uploader.item(upload)
    assert (upload.doing, upload.trouble, upload.sent) == ("complete", "", MIB)
    assert (item["size"], item["content_version"]) == (MIB, "2")


@pytest.mark.parametrize(
    ("scenario", "state"), [(Scenario.CANCELED, "CANCELED"), (Scenario.FAILED, "ERROR")]
)
async def test_a_session_is_ended_halfway_and_its_upload_says_so(
    uploader: Uploader, simulator: Simulator, scenario: Scenario, state: str
) -> None:
    upload = planned(scenario)
    await uploader.open(upload)
    async with asyncio.timeout(5):
        await asyncio.gather(uploader.carry_out(upload), uploader.end_halfway(upload))
    session = simulator.library.sessions.get(Kind.UPDATE, upload.session_id)
    assert (session.state, session.error) == (
        state,
        FAILURE if scenario is Scenario.FAILED else None,
    )
    assert upload.trouble.startswith("the transfer was ")
    assert not upload.is_complete
    assert MIB // 2 <= upload.sent < MIB


async def test_a_transfer_that_is_cut_off_is_trouble_and_nothing_worse(
    uploader: Uploader, simulator: Simulator
) -> None:
    upload = planned(Scenario.CANCELED)
    await uploader.open(upload)
    simulator.faults.add(Reset(), route="upload")
    async with asyncio.timeout(5):
        await asyncio.gather(uploader.carry_out(upload), uploader.end_halfway(upload))
    assert upload.trouble == "the transfer was cut off"


async def test_what_the_server_refuses_is_told_in_words(
    uploader: Uploader, simulator: Simulator
) -> None:
    upload = planned()
    simulator.faults.add(Fail(503), route="update_session.create")
    await uploader.open(upload)
    assert upload.trouble == "a request: HTTP 503 SERVICE_UNAVAILABLE"
    assert (upload.session_id, upload.is_over) == ("", True)
    assert await uploader.item(planned()) == {}


def test_the_session_file_says_how_far_each_upload_is(tmp_path: Path) -> None:
    file = DemoSessionFile(tmp_path / "sessions.yaml")
    assert read_sessions(file.path, ["demo"]).entries == ()
    upload = planned()
    upload.session_id, upload.sent = "0a:1b", MIB // 4
    file.write([upload])
    ((key, entry),) = read_sessions(file.path, ["demo"]).entries
    assert (key.id, entry.bytes_done, entry.bytes_total) == ("0a:1b", MIB // 4, MIB)
    written = file.path.stat()
    file.write([upload])
    assert file.path.stat().st_ino == written.st_ino, "unchanged, and written again"
    assert [each.name for each in tmp_path.iterdir()] == ["sessions.yaml"]
