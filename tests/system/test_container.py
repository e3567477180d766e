"""The image, built from the Containerfile and run the way it is meant to be."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.users import on_hosts
from tests.system.podman import IMAGE, Podman

pytestmark = on_hosts("podman")

LIFETIME = 4.0
NAME = "clkeepalived-test"
CONFINED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--no-healthcheck",
)
WRITABLE = ("--volume=state:/var/lib/clkeepalived", "--volume=run:/run/clkeepalived")


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
    return port


@dataclass
class Site:
    """A vCenter, and a daemon in a container on the host's network that works on it."""

    podman: Podman
    simulator: Simulator
    url: str
    folder: Path
    port: int = field(default_factory=unused_port)

    def write(self, *sessions: str) -> None:
        """Write the configuration, which names the sessions to hold."""
        held = ", ".join(f"{{id: '{each}'}}" for each in sessions)
        config = self.folder / "config.yaml"
        config.write_text(
            "vcenters:\n"
            "  lab:\n"
            f"    url: {self.url}\n"
            f"    username: {self.simulator.username}\n"
            "    password_env: PASSWORD\n"
            f"    session_timeout: {LIFETIME}\n"
            f"http: {{listen: '127.0.0.1:{self.port}'}}\n"
            f"sessions: [{held}]\n"
        )
        config.chmod(0o644)
        self.folder.chmod(0o755)

    def start(self) -> float:
        """Start the container, and return after how many seconds the daemon was ready."""
        began = time.monotonic()
        self.podman.run(
            *("run", "--detach", f"--name={NAME}", "--network=host", *CONFINED),
            *WRITABLE,
            f"--volume={self.folder}:/etc/clkeepalived:ro",
            f"--env=PASSWORD={self.simulator.password}",
            IMAGE,
        )
        while not self._is_ready():
            assert time.monotonic() - began < 30, self.podman.run("logs", NAME).stderr
            time.sleep(0.01)
        return time.monotonic() - began

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/readyz", timeout=2
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def remove(self) -> None:
        self.podman.run("rm", "--force", "--time=0", "--ignore", NAME)
        self.podman.run("volume", "rm", "--all", "--force")


@pytest.fixture
async def site(podman: Podman, tmp_path: Path) -> AsyncIterator[Site]:
    simulator = Simulator(session_timeout=LIFETIME)
    async with serve(simulator) as url:
        made = Site(podman, simulator, url, tmp_path)
        try:
            yield made
        finally:
            await asyncio.to_thread(made.remove)


@asynccontextmanager
async def running(site: Site, *sessions: str) -> AsyncIterator[float]:
    """Run the container; yield after how many seconds it was ready."""
    site.write(*sessions)
    yield await asyncio.to_thread(site.start)
    await asyncio.to_thread(site.remove)


async def test_it_keeps_sessions_alive_without_root_and_without_a_writable_root(
    site: Site,
) -> None:
    session = site.simulator.open_session()
    async with running(site, session):
        await asyncio.sleep(2 * LIFETIME)
        record = site.simulator.ledger.session(session)
        assert record.ended is None
        assert record.longest_gap < LIFETIME
        who = ("exec", NAME, "python3", "-c")
        uid = await asyncio.to_thread(site.podman.out, *who, "import os; print(os.getuid())")
        assert uid == "65532"
        refused = await asyncio.to_thread(
            site.podman.run, *who, "open('/app/written', 'w')", check=False
        )
        assert "Read-only file system" in refused.stderr
        status = ("exec", NAME, "clkeepalived", "status")
        assert session in await asyncio.to_thread(site.podman.out, *status)


async def test_it_ends_in_time_and_in_order_when_it_is_stopped(site: Site) -> None:
    session = site.simulator.open_session()
    async with running(site, session):
        await asyncio.sleep(0.6 * LIFETIME)
        began = time.monotonic()
        await asyncio.to_thread(site.podman.run, "stop", "--time=30", NAME)
        assert time.monotonic() - began < 12
        state = (await asyncio.to_thread(site.podman.inspect, NAME))["State"]
        assert state["ExitCode"] == 0
        assert site.simulator.ledger.requests("session.delete")


async def test_it_is_ready_soon(site: Site) -> None:
    took = []
    for _ in range(5):
        async with running(site) as seconds:
            took.append(seconds)
    print(f"\nfrom `podman run` to READY: {[round(each, 2) for each in took]} s")
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    assert statistics.median(took) < (6.0 if busy else 3.0)


def test_the_image_has_no_shell_and_says_what_it_is(podman: Podman) -> None:
    for shell in ("/bin/sh", "/bin/bash"):
        refused = podman.run("run", "--rm", f"--entrypoint={shell}", IMAGE, check=False)
        assert refused.returncode == 127
    found = podman.inspect("--type=image", IMAGE)
    config = found["Config"]
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] in ("SIGTERM", "15")
    for label in ("title", "description", "licenses", "version", "revision"):
        assert config["Labels"][f"org.opencontainers.image.{label}"]
    added = podman.size(IMAGE) - podman.base_size()
    print(f"\nimage: {podman.size(IMAGE) / 1e6:.0f} MB, of which {added / 1e6:.0f} MB are ours")
    assert added < 80e6


def test_the_health_check_of_the_image_tells_well_from_ill(podman: Podman, tmp_path: Path) -> None:
    check = podman.inspect("--type=image", IMAGE)["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    (tmp_path / "config.yaml").write_text("vcenters: {lab: {url: 'https://127.0.0.1:1'}}\n")
    tmp_path.chmod(0o755)
    podman.run(
        *("run", "--detach", f"--name={NAME}", "--network=none", *CONFINED, *WRITABLE),
        f"--volume={tmp_path}:/etc/clkeepalived:ro",
        IMAGE,
    )
    try:
        end = time.monotonic() + 20
        while podman.run("exec", NAME, *check[1:], check=False).returncode != 0:
            assert time.monotonic() < end, podman.run("logs", NAME).stderr
    finally:
        podman.run("rm", "--force", "--time=0", NAME)
        podman.run("volume", "rm", "--all", "--force")
    isolated = ("run", "--rm", "--network=none", "--no-healthcheck", "--entrypoint=", IMAGE)
    assert podman.run(*isolated, *check[1:], check=False).returncode == 1


def test_the_same_commit_makes_the_same_layers(podman: Podman) -> None:
    before = podman.inspect("--type=image", IMAGE)["RootFS"]["Layers"]
    podman.build("--no-cache")
    assert podman.inspect("--type=image", IMAGE)["RootFS"]["Layers"] == before
