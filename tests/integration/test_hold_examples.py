"""The uploaders in `examples/`, run as they are."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.faults import Latency
from tests.support.held import ROOT, Lab, lab
from tests.support.simulator import api_caller
from tests.support.timeouts import TIMEOUT_SECONDS

EXAMPLES = ("upload_sdk.py", "upload_aiohttp.py")
LIFETIME, SERVED = 2.0, 16.0
"""The configured lifetime of sessions, and the actual one of sessions and tokens."""


@pytest.fixture
def vcenter(certificate: Path) -> Iterator[Lab]:
    with lab(certificate, session_timeout=SERVED, token_idle_timeout=SERVED) as served:
        yield served


def item(vcenter: Lab) -> str:
    """Make a library and an item to fill; return the item's id."""

    async def make() -> str:
        caller = await api_caller(vcenter.simulator)
        backings = [{"type": "DATASTORE", "datastore_id": "datastore-1"}]
        spec = {"name": "templates", "type": "LOCAL", "storage_backings": backings}
        _, library = await caller.call("POST", "/content/local-library", spec)
        wanted = {"name": "image", "library_id": library, "type": "iso"}
        _, made = await caller.call("POST", "/content/library/item", wanted)
        return str(made)

    return asyncio.run_coroutine_threadsafe(make(), vcenter.loop).result(TIMEOUT_SECONDS)


def run(example: str, vcenter: Lab, certificate: Path, folder: Path) -> subprocess.Popen[str]:
    host = vcenter.url.removeprefix("https://") if "sdk" in example else vcenter.url
    path = folder / "image.iso"
    path.write_bytes(os.urandom(1000) * 400)
    user = vcenter.credentials()
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "examples" / example)),
            *(host, str(certificate), item(vcenter), str(path)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={
            # For requests, bundles that the environment names go before the one that is given.
            **{name: text for name, text in os.environ.items() if not name.endswith("CA_BUNDLE")},
            "PYTHONPATH": str(ROOT),
            "SESSION_LIFETIME": str(LIFETIME),
            "VCENTER_USERNAME": user["username"],
            "VCENTER_PASSWORD": user["password"],
        },
    )


def test_the_content_arrives(vcenter: Lab, certificate: Path, tmp_path: Path) -> None:
    with run("upload_aiohttp.py", vcenter, certificate, tmp_path) as process:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("ended as DONE\n")


@pytest.mark.extended
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_content_arrives_though_all_takes_longer_than_sessions_and_tokens_live(
    example: str, vcenter: Lab, certificate: Path, tmp_path: Path
) -> None:
    # So long it takes to be told where the file belongs.
    slow = Latency(SERVED + 1)
    vcenter.do(lambda: vcenter.simulator.faults.add(slow, route="*file.add"))
    with run(example, vcenter, certificate, tmp_path) as process:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("ended as DONE\n")
    created = [each for each in vcenter.simulator.ledger.events if each.event == "created"]
    assert vcenter.events(created[0].session_id) == ["created", "completed"]


@pytest.mark.extended
@pytest.mark.parametrize("example", EXAMPLES)
def test_a_session_that_is_lost_on_the_way_is_told(
    example: str, vcenter: Lab, certificate: Path, tmp_path: Path
) -> None:
    slow = Latency(SERVED)
    vcenter.do(lambda: vcenter.simulator.faults.add(slow, route="*file.add"))
    with run(example, vcenter, certificate, tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the checksum: the block is entered
        (session,) = vcenter.do(vcenter.simulator.library.sessions.all, Kind.UPDATE)
        vcenter.cancel(session.id)
        _, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 1
    # The upload's own error, as the server refuses what follows, and what is behind it.
    assert f"update session {session.id} ended as CANCELED (canceled on the server)" in err
