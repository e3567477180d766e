"""A script on VMware's own SDK, unmodified, under `clkeepalived exec`."""

from __future__ import annotations

import json
import re
import ssl
import sys
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.resources import SessionEvent
from keepalived.simulator.server import serve
from tests.integration.simulator_support import write_certificate
from tests.support.exec import Place, image, session_of

pytestmark = pytest.mark.timeout(90)

SCRIPT = Path(__file__).parents[1] / "support" / "sdk_upload.py"
LIFETIME = 2.0
GAP, TRANSFER = 8.0, 12.0


async def test_its_session_outlives_ten_lifetimes_of_gaps(tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    simulator = Simulator(session_timeout=LIFETIME, put_counts_as_activity=False)
    async with serve(simulator, ssl_context=tls) as url:
        place = describe(tmp_path, simulator, url, certificate)
        host = url.removeprefix("https://")
        words = (str(SCRIPT), host, str(certificate), str(image(tmp_path)), str(GAP), str(TRANSFER))
        ran = await place.exec("--", sys.executable, *words)

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
    assert len(set(sent)) >= 5
    assert 75 < max(sent) <= 99
    last = ran.err.splitlines()[-1]
    assert last.startswith("clkeepalived: templates/image version 1→2, content arrived; held ")
    idle = re.search(r"longest idle gap (\d+) s of 2 s allowed$", last)
    assert idle is not None
    assert float(idle[1]) >= GAP - LIFETIME  # on a busy machine it is seen a little late


def describe(folder: Path, simulator: Simulator, url: str, certificate: Path) -> Place:
    config = folder / "exec.yaml"
    vcenter = {
        "url": url,
        "username": simulator.username,
        "password_env": "SDK_PASSWORD",
        "ca_file": str(certificate),
        "session_timeout": LIFETIME,
    }
    config.write_text(json.dumps({"vcenters": {"lab": vcenter}}))
    environment = {"SDK_USERNAME": simulator.username, "SDK_PASSWORD": simulator.password}
    return Place(simulator, url, config, environment)
