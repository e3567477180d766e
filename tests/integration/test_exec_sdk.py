"""A script on VMware's own SDK, unmodified, under `clkeepalived exec`."""

from __future__ import annotations

import json
import re
import ssl
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.resources import SessionEvent
from keepalived.simulator.server import serve
from tests.integration.simulator_support import write_certificate
from tests.support.exec import Place, ended, image, session_of

SCRIPT = Path(__file__).parents[1] / "support" / "sdk_upload.py"
LIFETIME, SERVED = 2.0, 16.0
"""The configured and the actual lifetime of sessions: `exec` renews them every second."""
TRANSFER = 20.0


async def test_its_session_is_kept_while_it_waits(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    async with site(tmp_path) as place, upload(place, tmp_path, str(go_on), 0.0) as process:
        session_id = await place.until_held()
        go_on.touch()
        ran = await ended(process)

    assert ran.code == 23, ran.err
    assert session_of(ran) == session_id
    assert ran.out.endswith("ended as DONE\n")
    assert "templates/image version 1→2, content arrived" in ran.err.splitlines()[-1]


@pytest.mark.extended
async def test_its_session_outlives_lifetimes_of_gaps(tmp_path: Path) -> None:
    async with (
        site(tmp_path) as place,
        upload(place, tmp_path, str(SERVED + 1), TRANSFER) as process,
    ):
        ran = await ended(process)

    assert ran.code == 23, ran.err
    session_id = session_of(ran)
    assert ran.out.endswith("ended as DONE\n")
    assert place.events(session_id) == [SessionEvent.CREATED, SessionEvent.COMPLETED]
    sent = [
        each.client_progress
        for each in place.keep_alives(session_id)
        if each.client_progress is not None
    ]
    assert sent == sorted(sent)
    assert len(set(sent)) >= 3
    assert 0 < max(sent) <= 99
    last = ran.err.splitlines()[-1]
    assert last.startswith("clkeepalived: templates/image version 1→2, content arrived; held ")
    assert re.search(r"longest pause \d+ s \(it (expires|would have expired) after 2 s\)$", last)


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Place]:
    """Serve a simulator over TLS, and describe it to `exec` and to the script."""
    certificate = write_certificate(folder / "server.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    simulator = Simulator(session_timeout=SERVED, put_counts_as_activity=False)
    async with serve(simulator, ssl_context=tls) as url:
        yield describe(folder, simulator, url, certificate)


@asynccontextmanager
async def upload(place: Place, folder: Path, gap: str, transfer: float) -> AsyncIterator[Process]:
    """Start the script under `exec`."""
    host = place.url.removeprefix("https://")
    certificate = folder / "server.pem"
    words = (str(SCRIPT), host, str(certificate), str(image(folder)), gap, str(transfer))
    async with place.started("--", sys.executable, *words) as process:
        yield process


def describe(folder: Path, simulator: Simulator, url: str, certificate: Path) -> Place:
    config = folder / "exec.yaml"
    vcenter = {
        "url": url,
        "username": simulator.username,
        "password_env": "SDK_PASSWORD",
        "ca_file": str(certificate),
        "session_timeout": LIFETIME,
        "request_timeout": SERVED,
    }
    config.write_text(json.dumps({"vcenters": {"lab": vcenter}}))
    environment = {"SDK_USERNAME": simulator.username, "SDK_PASSWORD": simulator.password}
    return Place(simulator, url, config, environment)
