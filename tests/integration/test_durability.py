"""What was acknowledged over the control socket survives whatever happens to the daemon.

`KILLS=50` plays the full killing field; an ordinary run plays a short one.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve as serve_simulator
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, daemon_of, serving
from tests.support.programs import needs
from tests.support.users import needs_root

KILLS = int(os.environ.get("KILLS", "8"))
CLIENTS = 32
LIFETIME = 3600.0
"""Longer than any machine takes for these tests. How long a session lives is not their subject: one
that expires while its daemon is down has ended, and that is no loss of a hold."""
SEED = 20
SYNC_SECONDS = (1.0, 5.0, 25.0)
"""How long a slow disk takes for a sync: longer than anything else that an answer waits for. Where
a machine is so busy that it was not, the next one is tried."""


@dataclass
class Field:
    """A simulator, the files of a daemon that works on it, and what its clients were promised."""

    simulator: Simulator
    folder: Path
    url: str
    held: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    acknowledged: int = 0
    refused: int = 0
    runs: list[Daemon] = field(default_factory=list)
    disk: Path | None = None
    """Where the state file lies, if it is a file system of its own."""

    @asynccontextmanager
    async def serving(self, config: Path) -> AsyncIterator[Daemon]:
        """Run a daemon until the block is left, and keep its log."""
        async with serving(config, self.simulator.password) as daemon:
            self.runs.append(daemon)
            yield daemon

    def is_refused(self, status: int) -> bool:
        """Count what was refused because the disk was full."""
        self.refused += status == HTTPStatus.INSUFFICIENT_STORAGE
        return status == HTTPStatus.INSUFFICIENT_STORAGE

    def story(self, session_id: str) -> str:
        """Return all that is known of a session: by the vCenter, and by each daemon in turn."""
        ledger = self.simulator.ledger
        known: list[object] = [
            f"{datetime.now(UTC).isoformat()}, on the vCenter's clock {time.monotonic():.2f}",
            *ledger.events_of(session_id),
            *ledger.requests(session_id=session_id),
        ]
        for number, daemon in enumerate(self.runs):
            known += [
                f"run {number}: {event}"
                for event in daemon.events
                if event["event"] == "ready" or event.get("session_id") == session_id
            ]
        return "\n".join(map(str, known))

    def write_config(self, name: str = "config") -> Path:
        config = self.folder / f"{name}.yaml"
        state = (self.disk or self.folder) / "state.db"
        config.write_text(
            f"vcenters:\n"
            f"  lab: {{url: '{self.url}', username: {self.simulator.username}, "
            f"password_env: {PASSWORD_VARIABLE}, session_timeout: {LIFETIME}, observe: minimal}}\n"
            f"control: {{socket: {self.folder}/{name}.sock}}\n"
            f"state: {{path: {state}}}\n"
            f"http: {{listen: '127.0.0.1:0'}}\n"
        )
        if name == "config":
            (self.folder / "config.sock").unlink(missing_ok=True)
        return config


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Field]:
    simulator = Simulator(session_timeout=LIFETIME)
    async with serve_simulator(simulator) as url:
        yield Field(simulator, tmp_path, url)


class Caller:
    """Speaks to the daemon on a socket, as patiently as an upload script that retries."""

    def __init__(self, socket: Path) -> None:
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)))

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(
        self, method: str, session_id: str, body: dict[str, object] | None = None, query: str = ""
    ) -> tuple[int, dict[str, object]]:
        """Send until an answer comes; only silence is retried."""
        url = f"http://daemon/v1/sessions/lab/{session_id}{query}"
        while True:
            try:
                async with self._session.request(method, url, json=body) as answer:
                    return answer.status, await answer.json(content_type=None)
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.05)

    async def holds(self, session_id: str) -> list[object]:
        """Return the holds of a session; none where it is unknown."""
        status, answer = await self.send("GET", session_id)
        holds = answer["holds"] if status == 200 else []
        assert isinstance(holds, list)
        return holds


async def client(site: Field, socket: Path, seed: int, over: asyncio.Event) -> None:
    """Take, update and release holds, one session after the other, until it is over."""
    draw = random.Random(seed)
    async with Caller(socket) as caller:
        while not over.is_set():
            session_id = site.simulator.open_session()
            body: dict[str, object] = {"owner": {"ttl": "1h"}, "progress": 1}
            status, answer = await caller.send("PUT", session_id, body)
            if site.is_refused(status):
                continue
            assert status in (200, 201), answer
            site.held.add(session_id)
            for percent in range(2, draw.randrange(3, 6)):
                status, answer = await caller.send("PATCH", session_id, {"progress": percent})
                if site.is_refused(status):
                    continue
                assert status == 200, (
                    f"an acknowledged hold was lost: {answer}\n{site.story(session_id)}"
                )
                site.acknowledged += 1
            if draw.random() < 0.9:
                site.held.discard(session_id)
                status, answer = await caller.send("DELETE", session_id)
                # Gone already, if the answer to the first try was lost with the daemon.
                assert status in (200, 404, 409)
                if answer.get("recorded") is not False:
                    site.released.add(session_id)
            site.acknowledged += 1


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of two megabytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def fill(disk: Path, seed: int) -> None:
    """Fill a disk to the last byte, and make room again, in turn, until cancelled."""
    draw = random.Random(seed)
    ballast = disk / "ballast"
    while True:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        await asyncio.sleep(draw.uniform(0.1, 0.5))
        ballast.unlink()
        await asyncio.sleep(draw.uniform(0.1, 0.5))


async def stopped(daemon: Daemon) -> None:
    daemon.send(signal.SIGKILL)
    await daemon.end()


@pytest.mark.timeout(300 + 120 * KILLS)
@pytest.mark.parametrize(
    ("kills", "callers"),
    [
        pytest.param(2, 4, id="a short one"),
        pytest.param(KILLS, CLIENTS, id="a long one", marks=pytest.mark.extended),
    ],
)
async def test_a_killing_field_loses_no_acknowledged_hold_and_revives_none(
    site: Field, kills: int, callers: int
) -> None:
    await killing_field(site, kills, callers)
    assert site.acknowledged > kills * callers / 4
    assert site.refused == 0


@needs_root
@pytest.mark.extended
@pytest.mark.timeout(300 + 120 * KILLS)
async def test_a_killing_field_on_a_full_disk_loses_no_acknowledged_hold(site: Field) -> None:
    with small_disk(site.folder / "disk") as site.disk:
        async with site.serving(site.write_config()) as daemon:  # which makes the file
            await daemon.event("ready")
        filling = asyncio.create_task(fill(site.disk, SEED))
        try:
            await killing_field(site, KILLS, CLIENTS)
        finally:
            filling.cancel()
    assert site.acknowledged > KILLS
    assert site.refused > KILLS


async def killing_field(site: Field, kills: int, callers: int) -> None:
    """Kill the daemon again and again under load, and look for what was promised."""
    config = site.write_config()
    socket = site.folder / "config.sock"
    draw = random.Random(SEED)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        working = [
            clients.create_task(client(site, socket, SEED + number, over))
            for number in range(callers)
        ]
        for kill in range(kills):
            async with site.serving(config) as daemon:
                await daemon.event("ready")
                async with Caller(socket) as caller:  # its servers start after that
                    await caller.holds("unknown")
                await asyncio.sleep(draw.uniform(0.0, 0.8))
                if kill == kills - 1:
                    over.set()
                    await asyncio.wait(working)
                await stopped(daemon)
    async with site.serving(config) as daemon, Caller(socket) as caller:
        await daemon.event("ready")
        for session_id in site.held:
            assert await caller.holds(session_id) != [], (
                f"an acknowledged hold was lost\n{site.story(session_id)}"
            )
        for session_id in site.released:
            assert await caller.holds(session_id) == [], (
                f"a released hold came back\n{site.story(session_id)}"
            )
    for session_id in site.held:
        assert site.simulator.ledger.session(session_id).ended is None, site.story(session_id)


@asynccontextmanager
async def traced(
    config: Path, password: str, trace: Path, sync_seconds: float
) -> AsyncIterator[Daemon]:
    """Run the daemon on a disk that takes its time, and write down its calls.

    The tracer is the daemon's grandchild (`-D`): it ends with the daemon, while a daemon whose
    tracer is killed would go on by itself.
    """
    calls = "trace=fdatasync,fsync,recvfrom,sendto,read,write"
    delay = f"inject=fdatasync,fsync:delay_enter={int(1e6 * sync_seconds)}"
    process = await asyncio.create_subprocess_exec(
        *("strace", "-D", "-f", "-qq", "-s", "40", "-e", calls, "-e", delay, "-o", str(trace)),
        *(sys.executable, "-m", "keepalived.cli", "serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, PASSWORD_VARIABLE: password},
    )
    async with daemon_of(process) as daemon:
        yield daemon


async def serves_while_syncing(site: Field, config: Path, trace: Path, seconds: float) -> bool:
    """Take a hold on a slow disk; return whether another request was served meanwhile.

    Fails unless the trace shows that the hold was on the disk before its answer.
    """
    session_id = site.simulator.open_session()
    async with traced(config, site.simulator.password, trace, seconds) as daemon:
        await daemon.event("ready")
        async with Caller(site.folder / "config.sock") as caller:
            taking = asyncio.create_task(caller.send("PUT", session_id, {"owner": {"ttl": "1h"}}))
            while not await caller.holds(session_id) and not taking.done():
                pass
            was_seen_first = not taking.done()
            status, _ = await taking
            assert status == 201
        answer = re.compile(r'(write|sendto)\(\d+, "HTTP/1.1 201')
        await daemon.until(lambda: answer.search(trace.read_text()) is not None, what="the trace")
    text = await asyncio.to_thread(trace.read_text)
    arrived = text.index('"PUT /v1/')
    answered = answer.search(text, arrived)
    assert answered is not None
    synced = r"sync(\(\d+| resumed>)\) += 0 \(DELAYED\)"
    assert re.search(synced, text[arrived : answered.start()])
    return was_seen_first


@needs("strace")
async def test_an_answer_waits_for_the_disk_and_keeps_nobody_else_waiting(
    site: Field, tmp_path: Path
) -> None:
    config = site.write_config()
    async with serving(config, site.simulator.password) as daemon:
        # Making the tables syncs many times: that is not to be waited for below.
        await daemon.event("ready")
        daemon.send(signal.SIGTERM)
        assert await daemon.end() == 0
    for seconds in SYNC_SECONDS:
        if await serves_while_syncing(site, config, tmp_path / f"trace-{seconds}", seconds):
            return
    pytest.fail("no other request was served while a hold was written to the disk")


@pytest.mark.extended
async def test_a_second_daemon_on_the_same_state_is_refused_and_disturbs_nothing(
    site: Field,
) -> None:
    first, second = site.write_config(), site.write_config("second")
    session_id = site.simulator.open_session()
    async with serving(first, site.simulator.password) as daemon:
        await daemon.event("ready")
        async with Caller(site.folder / "config.sock") as caller:
            status, _ = await caller.send("PUT", session_id, {"owner": {"ttl": "1h"}})
            assert status == 201
            async with serving(second, site.simulator.password) as other:
                assert await other.end() == 1
                words = "".join(other.other_lines)
                assert "state.db: in use by process" in words
                assert str(daemon.process.pid) in words
            async with serving(first, site.simulator.password) as other:
                assert await other.end() == 1
            assert len(await caller.holds(session_id)) == 1
