"""The daemon's life cycle on the fake clock: the whole of it, in one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.daemon import Daemon
from keepalived.host.notify import Notifier
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.progress import UNKNOWN
from keepalived.settings import Loaded, Settings
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Refuse
from keepalived.vcenter.memory import MemoryTransport
from tests.support.engine import EPOCH, LoopClock
from tests.support.supervisor import supervising

UPLOADER = Owner(OwnerKind.NONE)


@pytest.fixture(autouse=True)
def _untouched_root() -> Iterator[None]:
    """A reload sets up logging for the whole process: put it back."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


class SharedClock(LoopClock):
    """The loop's time, which the state file's thread may read as well."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def boot(self) -> float:
        return self._loop.time() + self._jumped


class Life:
    """A daemon, the simulator it works on, and how it ended."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.simulator = Simulator(clock=loop.time, epoch=EPOCH)
        self.clock = SharedClock()
        self.supervisor_folder = folder
        loaded = Loaded(
            Settings.model_validate(
                {
                    "vcenters": {"lab": {"url": "http://vcenter.test"}},
                    "state": {"path": folder / "state.db"},
                    "control": {"socket": folder / "control.sock"},
                    "http": {"listen": "127.0.0.1:0"},
                    **settings,
                }
            )
        )

        async def load() -> Loaded:
            return loaded

        self.daemon = Daemon(
            loaded,
            load,
            clock=self.clock,
            make_transport=lambda _settings: MemoryTransport(self.simulator.handle),
            notifier=Notifier(str(folder / "notify"), 30.0),
        )
        self.running = asyncio.create_task(self.daemon.run())

    def hold(self) -> SessionKey:
        key = SessionKey("lab", Kind.UPDATE, self.simulator.open_session())
        hold = Hold(0, UPLOADER, self.clock.boot(), None, UNKNOWN)
        self.daemon.registry.hold(key, hold)
        return key

    async def ended_after(self) -> float:
        """Wait until the daemon has ended by itself; return how many seconds that took."""
        began = self.clock.boot()
        await self.running
        return self.clock.boot() - began


@asynccontextmanager
async def living(folder: Path, **settings: Any) -> AsyncIterator[Life]:
    life = Life(folder, **settings)
    try:
        yield life
    finally:
        if not life.running.done():
            life.daemon.stop()
        await life.running


@pytest.mark.looptime(end=4000)
async def test_it_ends_when_nothing_was_ever_held(tmp_path: Path) -> None:
    async with living(tmp_path, exit_when_idle=60) as life:
        assert 60 <= await life.ended_after() < 63


@pytest.mark.looptime(end=40_000)
async def test_it_ends_when_nothing_has_been_held_for_that_long(tmp_path: Path) -> None:
    async with living(tmp_path, exit_when_idle=60) as life:
        await asyncio.sleep(30)
        key = life.hold()
        await asyncio.sleep(2000)
        assert not life.running.done()
        life.daemon.registry.release(key, 0, UPLOADER)
        assert 58 <= await life.ended_after() < 63


@pytest.mark.looptime(end=40_000)
async def test_an_outage_is_no_idleness(tmp_path: Path) -> None:
    async with living(tmp_path, exit_when_idle=60) as life:
        await asyncio.sleep(5)
        life.hold()
        await asyncio.sleep(5)
        life.simulator.faults.add(Refuse())
        await asyncio.sleep(3000)
        assert not life.running.done()


@pytest.mark.looptime(end=40_000)
async def test_it_stays_unless_told_otherwise(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        await asyncio.sleep(10_000)
        assert not life.running.done()


@pytest.mark.looptime(end=4000)
async def test_systemd_hears_of_every_turn_of_its_life(tmp_path: Path) -> None:
    with supervising(tmp_path) as supervisor:
        async with living(tmp_path) as life:
            life.simulator.faults.add(Refuse())  # whether vCenter answers is not the question
            await asyncio.sleep(3)
            assert supervisor.said("READY") == 1
            assert supervisor.said("WATCHDOG") >= 1
            life.daemon.reload()
            await asyncio.sleep(3)
            told = [next(iter(message)) for message in supervisor.read()]
            reload = told.index("RELOADING")
            assert "READY" in told[reload:]
            signs = supervisor.said("WATCHDOG")
            for _ in range(100):
                await asyncio.sleep(1)
                supervisor.read()
            assert signs + 9 <= supervisor.said("WATCHDOG") <= signs + 11
        assert "STOPPING" in supervisor.read()[-1]
