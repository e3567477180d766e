"""`exec -- govc library.import`, in the forms that people type: what it says in the end is true.

govc logs in by SOAP, which the simulator does not serve, at vcsim; the rest is the simulator's,
which counts content versions.
"""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Latency
from keepalived.simulator.server import serve
from tests.support.cli import line_of
from tests.support.exec import Place, ended, image
from tests.support.pty import until
from tests.system import tools
from tests.system.conftest import StartVCSim
from tests.system.sdk_proxy import sdk_proxy
from tests.system.test_vcsim_tokens import govc_environment

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def lab(
    start_vcsim: StartVCSim, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Place]:
    """A place for govc. By default files are validated long enough for a look at the session."""
    validation = getattr(request, "param", 1.5)
    govc, vcsim = await asyncio.to_thread(tools.govc), await start_vcsim()
    simulator = Simulator(session_timeout=16.0, pull_duration=1.0, validation_duration=validation)
    simulator.library.catalog.create_library("templates")
    async with serve(simulator) as behind, sdk_proxy(vcsim, behind) as url:
        config = tmp_path / "exec.yaml"
        vcenter = {"url": url, "username": simulator.username, "password_env": "GOVC_PASSWORD"}
        config.write_text(json.dumps({"vcenters": {"lab": {**vcenter, "session_timeout": 10}}}))
        environment = {
            **govc_environment(vcsim, tmp_path),
            "GOVC_URL": url,
            "GOVC_USERNAME": simulator.username,
            "GOVC_PASSWORD": simulator.password,
        }
        environment["PATH"] = f"{govc}:{environment['PATH']}"
        yield Place(simulator, url, config, environment)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server with this test's files."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("words", "item"),
    [
        (("templates", "{folder}/image.iso"), "image"),
        (("-n", "debian-12", "templates", "{folder}/image.iso"), "debian-12"),
        (("templates", "{web}/image.iso"), "image"),
        (("-n", "debian-12", "templates", "{web}/image.iso"), "debian-12"),
        (("-pull", "templates", "{web}/image.iso"), "image"),
        (("-pull", "-n", "debian-12", "templates", "{web}/image.iso"), "debian-12"),
    ],
    ids=["plain", "-n", "URL", "URL -n", "-pull", "-pull -n"],
)
async def test_the_last_line_is_true(
    lab: Place, web: str, tmp_path: Path, words: tuple[str, ...], item: str
) -> None:
    image(tmp_path)
    argv = [each.format(folder=tmp_path, web=web) for each in words]

    ran = await lab.exec("--", "govc", "library.import", *argv)

    assert ran.code == 0, ran.err + ran.out
    assert f"clkeepalived: templates/{item}" in ran.err.splitlines()[-1], ran.err
    assert "content arrived; held" in ran.err.splitlines()[-1], ran.err


@pytest.mark.parametrize("lab", [0.0], indirect=True)
async def test_an_upload_shorter_than_a_look_is_recognized(lab: Place, tmp_path: Path) -> None:
    iso = image(tmp_path, size=1000)
    words = ("--", "govc", "library.import", "templates", str(iso))

    first = await lab.exec("--item", "templates/image", *words)
    iso.rename(tmp_path / "second.iso")
    second = await lab.exec(*words[:-1], str(tmp_path / "second.iso"))

    assert first.code == second.code == 0, first.err + second.err
    assert first.err.splitlines()[-1] == "clkeepalived: templates/image arrived, version 2"
    # It may be over before the first look: then nothing more is known.
    last = second.err.splitlines()[-1]
    assert last.startswith("clkeepalived: templates/second"), second.err
    assert "content arrived" in last or "completed; whether its content arrived" in last


async def test_an_interrupted_upload_is_not_said_to_have_arrived(
    lab: Place, tmp_path: Path
) -> None:
    lab.simulator.faults.add(Latency(3.0), route="upload")
    iso = image(tmp_path)
    words = ("--item", "templates/image", "--", "govc", "library.import", "templates", str(iso))
    async with lab.started(*words) as process:
        session_id = await lab.until_open()
        await until(lambda: bool(lab.keep_alives(session_id)))
        process.send_signal(signal.SIGINT)
        ran = await ended(process)

    assert ran.code != 0
    last = ran.err.splitlines()[-1]
    assert last in (
        "clkeepalived: templates/image is new, but without content, version 1",
        "clkeepalived: templates/image is missing",
    ), ran.err


async def test_a_command_that_a_bystander_stopped_finds_its_session_kept(
    lab: Place, tmp_path: Path
) -> None:
    lab.simulator.faults.add(Latency(3.0), route="upload")
    iso = image(tmp_path)
    command = (*("--", "sh", "-c"), 'echo $$; exec "$@"', "sh")
    async with lab.started(*command, "govc", "library.import", "templates", str(iso)) as process:
        pid = int(await line_of(process.stdout))
        session_id = await lab.until_open()
        await until(lambda: bool(lab.keep_alives(session_id)))
        os.kill(pid, signal.SIGSTOP)
        before = len(lab.keep_alives(session_id))
        await until(lambda: len(lab.keep_alives(session_id)) >= before + 2)
        os.kill(pid, signal.SIGCONT)
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert "templates/image version 1→2, content arrived; held" in ran.err.splitlines()[-1]
