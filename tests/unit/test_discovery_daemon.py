"""Discovery in the whole daemon: beside its files, over reloads and restarts, and to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from tests.support.daemon_in_memory import MemoryDaemon, running
from tests.support.discovering import Uploader
from tests.support.engine import NAME, simulator_in_loop

pytestmark = pytest.mark.looptime

TOKEN = "4dcd5f6e8a7b4f2a"


def found(discover: object = True) -> dict[str, dict[str, object]]:
    """Return the settings of a vCenter on which sessions are discovered, or are not."""
    return {NAME: {"discover": discover}}


async def test_it_takes_what_no_file_names(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    named, other = Uploader(simulator), Uploader(simulator)
    async with running(simulator, tmp_path, vcenters=found(), sessions=[{"id": named.id}]) as life:
        by_file, discovered = life.hold(named.id), life.hold(other.id)
        assert by_file is not None
        assert by_file.owner.kind is OwnerKind.FILE
        assert discovered is not None
        assert discovered.owner.kind is OwnerKind.DISCOVERY


async def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with running(simulator, tmp_path, vcenters=found(False)) as life:
        await asyncio.sleep(60)
        assert life.hold(uploader.id) is None
        assert simulator.ledger.requests("*.list") == []


async def test_reloads_turn_it_on_and_off_and_change_patience(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with running(simulator, tmp_path, vcenters=found(False)) as life:
        await life.reload(vcenters=found(), stall_timeout="30m")
        assert life.hold(uploader.id) is not None
        (keeper,) = life.daemon.registry.keepers
        assert keeper.policy.stall_timeout == 1800.0
        await life.reload(vcenters=found(), stall_timeout="40m")
        assert life.daemon.registry.keepers == (keeper,)
        assert keeper.policy.stall_timeout == 2400.0
        await life.reload(vcenters=found(False))
        assert life.hold(uploader.id) is None


async def test_whether_lent_tokens_are_written_is_a_setting(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey("lab", Kind.UPDATE, uploader.id)
    state = tmp_path / "state.db"

    def is_written() -> bool:
        files = [each.read_bytes() for each in tmp_path.glob("state.db*")]
        return any(TOKEN.encode() in content for content in files)

    async with running(simulator, tmp_path, vcenters=found(False)) as life:
        registry = life.daemon.registry
        token = LentToken(TOKEN, refused=True)
        hold = Hold(0, Owner(OwnerKind.NONE), 0.0, None, token=token)
        await registry.take(key, hold)
        assert is_written()
        await life.reload(vcenters=found(False), persist_tokens=False)
    assert state.exists()
    assert not is_written()
    async with running(simulator, tmp_path, vcenters=found(False), persist_tokens=False) as life:
        restored = life.hold(uploader.id)
        assert restored is not None
        assert restored.token is None


async def test_a_restart_goes_on_with_what_is_listed(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey("lab", Kind.UPDATE, uploader.id)
    async with running(simulator, tmp_path, vcenters=found()) as life:
        await asyncio.sleep(400)
        before = life.daemon.registry.find(key)
        assert before is not None
    async with running(simulator, tmp_path, vcenters=found()) as life:
        after = life.daemon.registry.find(key)
        assert after is not None
        assert after.since == pytest.approx(before.since, abs=1)
        assert life.hold(uploader.id) is not None


async def test_what_a_restart_does_not_find_any_more_is_forgotten(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with running(simulator, tmp_path, vcenters=found()):
        await asyncio.sleep(400)
    simulator.library.sessions.cancel(Kind.UPDATE, uploader.id)
    async with running(simulator, tmp_path, vcenters=found()) as life:
        await asyncio.sleep(60)
        assert len(life.daemon.registry) == 0


async def test_a_sidecar_ends_once_the_work_that_it_found_has(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    life = MemoryDaemon(simulator, tmp_path, vcenters=found(), exit_when_idle="60s")
    await asyncio.sleep(1000)
    assert not life.task.done()
    uploader.complete()
    ended_work_at = asyncio.get_running_loop().time()
    # No time limit: the state file's thread works in time of its own.
    await life.task
    assert asyncio.get_running_loop().time() - ended_work_at < 300
