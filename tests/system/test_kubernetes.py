"""The shipped Job as a real pod: an uploader that knows no client, and the sidecar beside it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.users import on_hosts
from tests.system import pods
from tests.system.podman import IMAGE, UPLOADER_IMAGE, Podman

pytestmark = on_hosts("podman")

LIFETIME, GAP, IDLE = 4.0, 6.0, 5.0
UPLOADER = Path(__file__).with_name("pod_uploader.py")
NETWORK = "pods"
# podman 4.3 hands a Secret's data over as they stand there, encoded: a password that is its own.
PASSWORD = "c2ltdWxhdGVk"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - where pods reach this host


@pytest.fixture(scope="module")
def gateway(podman: Podman) -> Iterator[str]:
    """The host's address as pods see it; they have addresses of their own."""
    podman.run("network", "create", NETWORK)
    found = json.loads(podman.out("network", "inspect", NETWORK))
    yield found[0]["subnets"][0]["gateway"]
    podman.run("network", "rm", "--force", NETWORK)


class Pod:
    """A pod that plays, and the vCenter it uploads to."""

    def __init__(self, podman: Podman, simulator: Simulator) -> None:
        self.podman = podman
        self.simulator = simulator

    async def state(self, container: str) -> dict[str, Any]:
        found = await asyncio.to_thread(self.podman.inspect, f"upload-{container}")
        state: dict[str, Any] = found["State"]
        return state

    async def until_ended(self, container: str, seconds: float = 60.0) -> int:
        """Wait until a container has ended, and return its exit code."""
        end = time.monotonic() + seconds
        while (state := await self.state(container))["Status"] not in ("exited", "stopped"):
            assert time.monotonic() < end, f"{container} is still {state['Status']}: " + self.log()
            await asyncio.sleep(0.2)
        code: int = state["ExitCode"]
        return code

    async def metrics(self) -> str:
        """Scrape the sidecar at the pod's own address."""
        found = await asyncio.to_thread(self.podman.inspect, f"upload-{pods.SIDECAR}")
        address = found["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]

        def fetch() -> str:
            with urllib.request.urlopen(f"http://{address}:9878/metrics", timeout=5) as answer:
                text: str = answer.read().decode()
            return text

        return await asyncio.to_thread(fetch)

    async def until_held(self, seconds: float = 30.0) -> str:
        """Wait until a session is kept alive, and return its id."""
        end = time.monotonic() + seconds
        while not (renewals := self.simulator.ledger.requests("*.keep_alive", status=204)):
            assert time.monotonic() < end, "nothing is held: " + self.log()
            await asyncio.sleep(0.1)
        assert renewals[0].session_id is not None
        return renewals[0].session_id

    def log(self) -> str:
        said = self.podman.run("pod", "logs", "--tail=20", "upload", check=False)
        return (said.stdout + said.stderr)[-4000:]


class Player:
    """Plays pods, one at a time."""

    def __init__(self, podman: Podman, folder: Path, gateway: str) -> None:
        self._podman = podman
        self._folder = folder
        self._gateway = gateway

    async def play(self, simulator: Simulator, url: str, **environ: str) -> Pod:
        port = url.rpartition(":")[2]
        simulator.base_url = f"http://{self._gateway}:{port}"
        written = pods.plain_pod(
            self._folder,
            images={pods.SIDECAR: IMAGE, pods.UPLOADER: UPLOADER_IMAGE},
            url=simulator.base_url,
            username=simulator.username,
            password=simulator.password,
            lifetime=LIFETIME,
            idle=IDLE,
            script=UPLOADER,
            environ={
                "URL": simulator.base_url,
                "USERNAME": simulator.username,
                "PASSWORD": simulator.password,
                "GAP": str(GAP),
                **environ,
            },
        )
        await asyncio.to_thread(
            self._podman.run, "kube", "play", f"--network={NETWORK}", str(written)
        )
        return Pod(self._podman, simulator)

    def remove(self) -> None:
        """Remove the pod; a container that is just being started again withstands the first try."""
        end = time.monotonic() + 30
        while self._podman.run("pod", "exists", "upload", check=False).returncode == 0:
            assert time.monotonic() < end, "the pod cannot be removed"
            self._podman.run("pod", "rm", "--force", "--time=0", "upload", check=False)
        self._podman.run("volume", "rm", "--all", "--force")
        self._podman.run("secret", "rm", "--all")


@pytest.fixture
async def player(podman: Podman, tmp_path: Path, gateway: str) -> AsyncIterator[Player]:
    playing = Player(podman, tmp_path, gateway)
    try:
        yield playing
    finally:
        await asyncio.to_thread(playing.remove)


async def test_an_upload_with_gaps_longer_than_the_lifetime_completes(player: Player) -> None:
    simulator = Simulator(session_timeout=LIFETIME, password=PASSWORD)
    async with serve(simulator, host=EVERYWHERE) as url:
        pod = await player.play(simulator, url)
        session = await pod.until_held()
        assert f'session_id="{session}"' in await pod.metrics()
        user = (await asyncio.to_thread(pod.podman.inspect, f"upload-{pods.SIDECAR}"))["Config"]
        assert user["User"].startswith("65532")
        assert await pod.until_ended(pods.UPLOADER) == 0
        completed_at = time.monotonic()
        assert await pod.until_ended(pods.SIDECAR) == 0
        assert time.monotonic() - completed_at < IDLE + 10
        record = simulator.ledger.session(session)
        assert record.ended is not None
        assert record.longest_gap < LIFETIME
        assert "completed" in pod.log()
        assert '"state": "DONE"' in pod.log()
        assert simulator.password not in pod.log()


async def test_the_sidecar_ends_although_its_uploader_failed_at_once(player: Player) -> None:
    simulator = Simulator(session_timeout=LIFETIME, password=PASSWORD)
    async with serve(simulator, host=EVERYWHERE) as url:
        pod = await player.play(simulator, url, FAIL="1")
        assert await pod.until_ended(pods.SIDECAR, seconds=IDLE + 25) == 0
        assert '"event": "idle"' in pod.log()


async def test_a_pod_that_is_stopped_gives_a_parting_renewal_and_logs_out(player: Player) -> None:
    simulator = Simulator(session_timeout=LIFETIME, password=PASSWORD)
    async with serve(simulator, host=EVERYWHERE) as url:
        pod = await player.play(simulator, url, GAP="300")
        session = await pod.until_held()
        await asyncio.sleep(0.4 * LIFETIME)
        began = time.monotonic()
        sidecar = f"upload-{pods.SIDECAR}"
        await asyncio.to_thread(pod.podman.run, "stop", "--time=30", sidecar)
        assert time.monotonic() - began < 12
        assert (await pod.state(pods.SIDECAR))["ExitCode"] == 0
        assert simulator.ledger.requests("session.delete")
        last = simulator.ledger.requests("*.keep_alive", session_id=session)[-1]
        assert simulator.ledger.requests("session.delete")[-1].time - last.time < 3
