"""What was acknowledged over the control socket survives whatever happens to the daemon.

`KILLS=50` plays the full killing field; an ordinary run plays a short one.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve as serve_simulator
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, Event, serving
from tests.support.programs import needs

KILLS = int(os.environ.get("KILLS", "8"))
CLIENTS = 32
LIFETIME = 30.0
SEED = 20
SYNC_SECONDS = 1.0
"""How long a slow disk takes for a sync: longer than anything else that an answer waits for."""


@dataclass
class Field:
    """A simulator, the files of a daemon that works on it, and what its clients were promised."""

    simulator: Simulator
    folder: Path
    url: str
    held: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)
    acknowledged: int = 0

    @property
    def socket(self) -> Path:
        return self.folder / "control.sock"

    def write_config(self, name: str = "config", *, state: str = "state.db") -> Path:
        config = self.folder / f"{name}.yaml"
        config.write_text(
            f"vcenters:\n"
            f"  lab: {{url: '{self.url}', username: {self.simulator.username}, "
            f"password_env: {PASSWORD_VARIABLE}, session_timeout: {LIFETIME}, observe: minimal}}\n"
            f"control: {{socket: {self.folder}/{name}.sock}}\n"
            f"state: {{path: {self.folder}/{state}}}\n"
            f"http: {{listen: '127.0.0.1:0'}}\n"
        )
        if name == "config":
            (self.folder / "config.sock").unlink(missing_ok=True)
        return config


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Field]:
    simulator = Simulator(session_timeout=LIFETIME, ledger_limit=0)
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
            status, _ = await caller.send("PUT", session_id, body)
            assert status in (200, 201)
            site.held.add(session_id)
            for percent in range(2, draw.randrange(3, 6)):
                status, _ = await caller.send("PATCH", session_id, {"progress": percent})
                assert status == 200, "an acknowledged hold was lost"
                site.acknowledged += 1
            if draw.random() < 0.9:
                site.held.discard(session_id)
                status, _ = await caller.send("DELETE", session_id)
                # Gone already, if the answer to the first try was lost with the daemon.
                assert status in (200, 404, 409)
                site.released.add(session_id)
            site.acknowledged += 1


async def stopped(daemon: Daemon) -> None:
    daemon.send(signal.SIGKILL)
    await daemon.end()


@pytest.mark.extended
@pytest.mark.timeout(60 + 6 * KILLS)
async def test_a_killing_field_loses_no_acknowledged_hold_and_revives_none(site: Field) -> None:
    config = site.write_config()
    socket = site.folder / "config.sock"
    draw = random.Random(SEED)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        working = [
            clients.create_task(client(site, socket, SEED + number, over))
            for number in range(CLIENTS)
        ]
        for kill in range(KILLS):
            async with serving(config, site.simulator.password) as daemon:
                await daemon.event("ready", seconds=20)
                await asyncio.sleep(draw.uniform(0.0, 0.8))
                if kill == KILLS - 1:
                    over.set()
                    await asyncio.wait(working)
                await stopped(daemon)
    assert site.acknowledged > 10 * KILLS
    async with serving(config, site.simulator.password) as daemon, Caller(socket) as caller:
        await daemon.event("ready", seconds=20)
        for session_id in site.held:
            assert await caller.holds(session_id) != [], "an acknowledged hold was lost"
        for session_id in site.released:
            assert await caller.holds(session_id) == [], "a released hold came back"
    for session_id in site.held:
        assert site.simulator.ledger.session(session_id).ended is None


@asynccontextmanager
async def traced(config: Path, password: str, trace: Path) -> AsyncIterator[Daemon]:
    """Run the daemon on a disk that takes its time, and write down its calls.

    The tracer is the daemon's grandchild (`-D`): it ends with the daemon, while a daemon whose
    tracer is killed would go on by itself.
    """
    calls = "trace=fdatasync,fsync,recvfrom,sendto,read,write"
    delay = f"inject=fdatasync,fsync:delay_enter={int(1e6 * SYNC_SECONDS)}"
    process = await asyncio.create_subprocess_exec(
        *("strace", "-D", "-f", "-qq", "-s", "40", "-e", calls, "-e", delay, "-o", str(trace)),
        *(sys.executable, "-m", "keepalived.cli", "serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, PASSWORD_VARIABLE: password},
    )
    daemon = Daemon(process)
    try:
        yield daemon
    finally:
        # Whatever the test came to: nobody else ends it.
        if process.returncode is None:
            process.kill()
        await daemon.end()


@needs("strace")
@pytest.mark.timeout(40)
async def test_an_answer_waits_for_the_disk_and_keeps_nobody_else_waiting(
    site: Field, tmp_path: Path
) -> None:
    config, trace = site.write_config(), tmp_path / "trace"
    async with serving(config, site.simulator.password) as daemon:
        # Making the tables syncs many times: that is not to be waited for below.
        await daemon.event("ready", seconds=20)
        daemon.send(signal.SIGTERM)
        assert await daemon.end() == 0
    session_id = site.simulator.open_session()
    async with traced(config, site.simulator.password, trace) as daemon:
        await daemon.event("ready", seconds=20)
        async with Caller(site.folder / "config.sock") as caller:
            began = time.monotonic()
            taking = asyncio.create_task(caller.send("PUT", session_id, {"owner": {"ttl": "1h"}}))
            while not await caller.holds(session_id):
                assert not taking.done()
            assert not taking.done(), "the answer did not wait for the disk"
            status, _ = await taking
            assert status == 201
            assert time.monotonic() - began >= SYNC_SECONDS
        answer = re.compile(r'(write|sendto)\(\d+, "HTTP/1.1 201')
        await daemon.until(lambda: answer.search(trace.read_text()) is not None, what="the trace")
    text = trace.read_text()
    arrived = text.index('"PUT /v1/')
    answered = answer.search(text, arrived)
    assert answered is not None
    synced = r"sync(\(\d+| resumed>)\) += 0 \(DELAYED\)"
    assert re.search(synced, text[arrived : answered.start()])


@pytest.mark.timeout(30)
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


@pytest.mark.timeout(30)
async def test_two_daemons_may_hold_one_session(site: Field) -> None:
    first, second = site.write_config(), site.write_config("second", state="second.db")
    session_id = site.simulator.open_session()
    async with (
        serving(first, site.simulator.password) as one,
        serving(second, site.simulator.password) as two,
        Caller(site.folder / "config.sock") as caller,
        Caller(site.folder / "second.sock") as other,
    ):
        await one.event("ready")
        await two.event("ready")
        for each in (caller, other):
            status, _ = await each.send("PUT", session_id, {"owner": {"ttl": "1h"}})
            assert status == 201
            status, answer = await each.send("POST", f"{session_id}/keep-alive")
            assert (status, answer["outcome"]) == (200, "ok")
        status, _ = await caller.send("DELETE", session_id)
        assert status == 200
        status, answer = await other.send("POST", f"{session_id}/keep-alive")
        assert (status, answer["outcome"]) == (200, "ok")
        assert site.simulator.ledger.session(session_id).ended is None


@pytest.mark.timeout(30)
async def test_an_end_is_reported_once_whatever_the_file_still_says(site: Field) -> None:
    config = site.write_config()
    session_id = site.simulator.open_session()
    with config.open("a") as file:
        file.write(f"sessions: [{{id: '{session_id}'}}, {{id: never-there}}]\n")
    reported: list[Event] = []
    for _ in range(2):
        async with serving(config, site.simulator.password) as daemon:
            await daemon.event("ready")
            await daemon.event("first_renewal" if not reported else "ready")
            async with Caller(site.folder / "config.sock") as caller:
                status, answer = await caller.send("GET", "never-there")
                while status == 200 and answer["state"] != "NOT_FOUND":
                    status, answer = await caller.send("GET", "never-there")
                assert (status, answer["state"]) == (200, "NOT_FOUND")
                status, answer = await caller.send("POST", f"{session_id}/keep-alive")
                assert answer["outcome"] == "ok"
            daemon.send(signal.SIGTERM)
            assert await daemon.end() == 0
            reported += [each for each in daemon.events if each["event"] == "session_ended"]
    assert [each["session_id"] for each in reported] == ["never-there"]
