"""Discovery in the whole daemon: beside its files, over reloads and restarts, and to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from keepalived.daemon import Daemon
from keepalived.lease.holds import Borrowed, Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.settings import Loaded, Settings
from keepalived.simulator.app import Simulator
from keepalived.vcenter.memory import MemoryTransport
from tests.support.discovering import Uploader
from tests.support.engine import LoopClock, simulator_in_loop

pytestmark = pytest.mark.looptime

TOKEN = "4dcd5f6e8a7b4f2a"


class SharedClock(LoopClock):
    """The loop's time, which the state file's thread may read as well."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def boot(self) -> float:
        return self._loop.time() + self._jumped


class Running:
    """A daemon at work, whose configuration may be changed and read again."""

    def __init__(self, folder: Path, simulator: Simulator, **settings: Any) -> None:
        self._folder = folder
        self._simulator = simulator
        self.loaded = self._load(**settings)

        async def load() -> Loaded:
            return self.loaded

        self.daemon = Daemon(
            self.loaded,
            load,
            clock=SharedClock(),
            make_transport=lambda _settings: MemoryTransport(simulator.handle),
        )
        self.task = asyncio.create_task(self.daemon.run())

    def _load(self, discover: object = True, **settings: Any) -> Loaded:
        vcenter = {
            "url": "http://vcenter.test",
            "username": self._simulator.username,
            "password": SecretStr(self._simulator.password),
            "discover": discover,
        }
        data = {
            "vcenters": {"lab": vcenter},
            "state": {"path": self._folder / "state.db"},
            "control": {"socket": self._folder / "control.sock"},
            "http": {"listen": "127.0.0.1:0"},
            **settings,
        }
        return Loaded(Settings.model_validate(data))

    async def reload(self, **settings: Any) -> None:
        self.loaded = self._load(**settings)
        self.daemon.reload()
        await asyncio.sleep(5)

    def hold(self, session_id: str) -> Hold | None:
        """The one hold on a session, None where it is not held."""
        session = self.daemon.registry.find(SessionKey("lab", Kind.UPDATE, session_id))
        holds = session.holds if session else ()
        assert len(holds) < 2
        return holds[0] if holds else None


@asynccontextmanager
async def running(folder: Path, simulator: Simulator, **settings: Any) -> AsyncIterator[Running]:
    life = Running(folder, simulator, **settings)
    try:
        await asyncio.sleep(2)
        yield life
    finally:
        life.daemon.stop()
        await life.task


async def test_it_takes_what_no_file_names(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    named, found = Uploader(simulator), Uploader(simulator)
    async with running(tmp_path, simulator, sessions=[{"id": named.id}]) as life:
        by_file, discovered = life.hold(named.id), life.hold(found.id)
        assert by_file is not None
        assert by_file.owner.kind is OwnerKind.FILE
        assert discovered is not None
        assert discovered.owner.kind is OwnerKind.DISCOVERY


async def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with running(tmp_path, simulator, discover=False) as life:
        await asyncio.sleep(60)
        assert life.hold(uploader.id) is None
        assert simulator.ledger.requests("*.list") == []


async def test_reloads_turn_it_on_and_off_and_change_patience(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with running(tmp_path, simulator, discover=False) as life:
        await life.reload(discover=True, stall_timeout="30m")
        assert life.hold(uploader.id) is not None
        (keeper,) = life.daemon.registry.keepers
        assert keeper.manner.stall_timeout == 1800.0
        await life.reload(discover=True, stall_timeout="40m")
        assert life.daemon.registry.keepers == (keeper,)
        assert keeper.manner.stall_timeout == 2400.0
        await life.reload(discover=False)
        assert life.hold(uploader.id) is None


async def test_whether_lent_tokens_are_written_is_a_setting(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey("lab", Kind.UPDATE, uploader.id)
    state = tmp_path / "state.db"

    def is_written() -> bool:
        files = [each.read_bytes() for each in tmp_path.glob("state.db*")]
        return any(TOKEN.encode() in content for content in files)

    async with running(tmp_path, simulator, discover=False) as life:
        registry = life.daemon.registry
        token = Borrowed(TOKEN, refused=True)
        hold = Hold(0, Owner(OwnerKind.NONE), 0.0, None, token=token)
        await registry.take(key, hold)
        assert is_written()
        await life.reload(discover=False, persist_tokens=False)
    assert state.exists()
    assert not is_written()
    async with running(tmp_path, simulator, discover=False, persist_tokens=False) as life:
        restored = life.hold(uploader.id)
        assert restored is not None
        assert restored.token is None


async def test_a_restart_goes_on_with_what_is_listed(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey("lab", Kind.UPDATE, uploader.id)
    async with running(tmp_path, simulator) as life:
        await asyncio.sleep(400)
        before = life.daemon.registry.find(key)
        assert before is not None
    async with running(tmp_path, simulator) as life:
        after = life.daemon.registry.find(key)
        assert after is not None
        assert after.since == pytest.approx(before.since, abs=1)
        assert life.hold(uploader.id) is not None


async def test_what_a_restart_does_not_find_any_more_is_forgotten(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with running(tmp_path, simulator):
        await asyncio.sleep(400)
    simulator.library.sessions.cancel(Kind.UPDATE, uploader.id)
    async with running(tmp_path, simulator) as life:
        await asyncio.sleep(60)
        assert len(life.daemon.registry) == 0


async def test_a_sidecar_ends_once_the_work_that_it_found_has(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    life = Running(tmp_path, simulator, exit_when_idle="60s")
    await asyncio.sleep(1000)
    assert not life.task.done()
    uploader.complete()
    ended_work_at = asyncio.get_running_loop().time()
    # No time limit: the state file's thread works in time of its own.
    await life.task
    assert asyncio.get_running_loop().time() - ended_work_at < 300
