"""Sessions in the whole daemon on the fake clock: files, reloads, restarts and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from keepalived.settings import ConfigError, Problem
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Hang
from tests.support.control import caller_at
from tests.support.daemon_in_memory import MemoryDaemon, running
from tests.support.discovering import Uploader
from tests.support.engine import NAME, simulator_in_loop

pytestmark = pytest.mark.looptime

LIFETIME = 300.0


def keep_alives(simulator: Simulator, session_id: str) -> list[float]:
    """Return when the keep-alives of a session came."""
    requests = simulator.ledger.requests("*.keep_alive", session_id=session_id)
    return [entry.time for entry in requests]


def longest_gap(simulator: Simulator, session_id: str) -> float:
    """Return the longest time between two renewals, in seconds."""
    times = keep_alives(simulator, session_id)
    return max(later - earlier for earlier, later in pairwise(times))


def write(file: Path, *session_ids: str) -> dict[str, Any]:
    """Name sessions in a file, and return the setting that leads to it."""
    file.write_text(json.dumps({"sessions": [{"id": each} for each in session_ids]}))
    return {"session_files": [str(file)]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.yaml"


@asynccontextmanager
async def holding_one(
    folder: Path, file: Path
) -> AsyncIterator[tuple[MemoryDaemon, Simulator, str, dict[str, Any]]]:
    """Run a daemon; yield it, its vCenter, the session of its file, and the settings for that."""
    simulator = simulator_in_loop()
    held = simulator.open_session()
    files = write(file, held)
    async with running(simulator, folder, **files) as life:
        yield life, simulator, held, files


async def test_a_session_outlives_its_lifetime_and_is_counted(tmp_path: Path, file: Path) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, held, _):
        await asyncio.sleep(4 * LIFETIME)
        assert simulator.ledger.session(held).ended is None
        assert longest_gap(simulator, held) < 0.6 * LIFETIME
        metrics = await life.metrics()
        assert metrics["clkeepalived_sessions", "ACTIVE", NAME] == 1
        assert metrics["clkeepalived_vcenter_up", NAME] == 1
        count = len(keep_alives(simulator, held))
        assert metrics["clkeepalived_keep_alives_total", "ok", NAME] == count
        assert metrics["clkeepalived_config_last_reload_successful",] == 1


async def test_a_new_line_starts_at_once_and_a_vanished_one_lets_go(
    tmp_path: Path, file: Path
) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, first, _):
        second = simulator.open_session()
        await life.until_logged("first_renewal", session_id=first)
        write(file, second)
        await life.until_logged("first_renewal", session_id=second)
        ended = await life.until_logged("session_ended", session_id=first)
        assert (ended["state"], ended["level"]) == ("RELEASED", "info")
        assert simulator.ledger.requests("*.cancel") == []


@pytest.mark.parametrize(("pause", "more"), [(0.2, 0), (0.3, 1)])
async def test_its_end_renews_what_has_less_than_three_quarters_left_and_logs_out(
    pause: float, more: int, tmp_path: Path, file: Path
) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, held, _):
        count = len(keep_alives(simulator, held))
        await life.until(lambda: len(keep_alives(simulator, held)) > count)
        await asyncio.sleep(pause * LIFETIME)
        before = len(keep_alives(simulator, held))
    assert len(keep_alives(simulator, held)) == before + more
    assert len(simulator.ledger.requests("session.delete")) == 1
    assert life.logged()[-1]["event"] == "stopped"


async def test_restarts_renew_at_once_and_lose_nothing(tmp_path: Path, file: Path) -> None:
    simulator = simulator_in_loop()
    held = [simulator.open_session() for _ in range(3)]
    for _ in range(3):
        before = {each: len(keep_alives(simulator, each)) for each in held}
        async with running(simulator, tmp_path, **write(file, *held)):
            for session_id in held:
                assert len(keep_alives(simulator, session_id)) == before[session_id] + 1
            await asyncio.sleep(LIFETIME)
        # Each has three quarters of its lifetime left, or more, for the time without a daemon.
        await asyncio.sleep(0.7 * LIFETIME)
    for session_id in held:
        assert simulator.ledger.session(session_id).ended is None


async def test_asked_twice_it_ends_at_once(tmp_path: Path, file: Path) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, _, _):
        await asyncio.sleep(LIFETIME)
        simulator.faults.add(Hang())
        await asyncio.sleep(0.6 * LIFETIME)
        life.daemon.stop()
        await life.until_logged("stopping")
        life.daemon.stop()
        assert await life.ended_after() < 5


async def test_a_reload_swaps_the_new_configuration_in_and_touches_nothing_else(
    tmp_path: Path, file: Path
) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, held, files):
        vcenters = {NAME: {"max_in_flight": 3, "observe": "minimal"}}
        await life.reload(vcenters=vcenters, **files)
        assert life.logged("reloaded")
        (keeper,) = life.daemon.registry.keepers
        assert keeper.policy.max_in_flight == 3
        follow_ups = len(simulator.ledger.requests("*.get"))
        await asyncio.sleep(2 * LIFETIME)
        assert len(simulator.ledger.requests("*.get")) <= follow_ups + 1
        metrics = await life.metrics()
        assert metrics["clkeepalived_config_last_reload_successful",] == 1
        assert metrics["clkeepalived_sessions", "ACTIVE", NAME] == 1
        assert longest_gap(simulator, held) < 0.6 * LIFETIME
        assert not life.logged("session_ended")


async def test_a_reload_that_fails_is_told_and_leaves_all_as_it_was(
    tmp_path: Path, file: Path
) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, held, files):
        problem = Problem("config.yaml", 3, "vcenters.lab", "this is no setting")
        await life.reload(refused=ConfigError([problem]))
        (failed,) = life.logged("reload_failed")
        assert failed["problems"] == [str(problem)]
        assert (await life.metrics())["clkeepalived_config_last_reload_successful",] == 0
        count = len(keep_alives(simulator, held))
        await asyncio.sleep(2 * LIFETIME)
        assert len(keep_alives(simulator, held)) >= count + 2
        await life.reload(**files)
        assert (await life.metrics())["clkeepalived_config_last_reload_successful",] == 1


async def test_a_reload_names_what_needs_a_restart_and_applies_the_rest(
    tmp_path: Path, file: Path
) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, held, _):
        later = simulator.open_session()
        assert ("clkeepalived_session_lifetime_seconds", held, NAME) in await life.metrics()
        await life.reload(
            vcenters={NAME: {"observe": "state"}},
            http={"listen": "127.0.0.1:1"},
            metrics={"session_labels": False},
            **write(file, held, later),
        )
        (refused,) = life.logged("restart_needed")
        assert refused["settings"] == ["http"]
        assert life.logged("reloaded")
        await life.until_logged("first_renewal", session_id=later)
        metrics = await life.metrics()
        assert metrics["clkeepalived_vcenter_up", NAME] == 1
        assert not [name for name, *labels in metrics if held in labels]


async def test_a_reload_takes_a_vcenter_away_and_another_in(tmp_path: Path, file: Path) -> None:
    async with holding_one(tmp_path, file) as (life, _, held, files):
        await life.until_logged("first_renewal", session_id=held, vcenter=NAME)
        await life.reload(vcenters={"other": {}}, **files)
        await life.until_logged("first_renewal", session_id=held, vcenter="other")
        ended = await life.until_logged("session_ended", session_id=held, vcenter=NAME)
        assert ended["state"] == "RELEASED"
        metrics = await life.metrics()
        assert ("clkeepalived_vcenter_up", NAME) not in metrics
        assert metrics["clkeepalived_sessions", "ACTIVE", "other"] == 1


async def test_what_was_discovered_and_released_stays_released(tmp_path: Path) -> None:
    simulator = simulator_in_loop()
    found = Uploader(simulator).id
    async with (
        running(simulator, tmp_path, vcenters={NAME: {"discover": True}}) as life,
        caller_at(life.socket) as me,
    ):
        await life.until_logged("first_renewal", session_id=found)
        assert (await me.delete(f"/v1/sessions/-/{found}")).status == 200
        ended = await life.until_logged("session_ended", session_id=found)
        assert ended["state"] == "RELEASED"
        follow_ups = len(simulator.ledger.requests("update_session.list"))
        count = len(keep_alives(simulator, found))
        await life.until(
            lambda: len(simulator.ledger.requests("update_session.list")) >= follow_ups + 3
        )
        assert len(keep_alives(simulator, found)) == count


async def test_an_end_is_reported_once_whatever_the_file_still_says(
    tmp_path: Path, file: Path
) -> None:
    simulator = simulator_in_loop()
    held = simulator.open_session()
    files = write(file, held, "never-there")
    reported = []
    for _ in range(2):
        async with running(simulator, tmp_path, **files) as life:
            await asyncio.sleep(LIFETIME)
            gone = life.find("never-there")
            assert gone is not None
            assert gone.state == "NOT_FOUND"
        reported += [each["session_id"] for each in life.logged("session_ended")]
    assert reported == ["never-there"]
    assert simulator.ledger.session(held).ended is None


async def test_two_daemons_may_hold_one_session(tmp_path: Path, file: Path) -> None:
    simulator = simulator_in_loop()
    held = simulator.open_session()
    files = write(file, held)
    (tmp_path / "other").mkdir()
    async with running(simulator, tmp_path / "other", **files) as other:
        async with running(simulator, tmp_path, **files) as life:
            await asyncio.sleep(2 * LIFETIME)
            logins = {entry.login for entry in simulator.ledger.requests("*.keep_alive")}
            assert len(logins) == 2
            for each in (life, other):
                session = each.find(held)
                assert session is not None
                assert session.state == "ACTIVE"
        await asyncio.sleep(2 * LIFETIME)
        assert simulator.ledger.session(held).ended is None
        assert longest_gap(simulator, held) < 0.6 * LIFETIME


async def test_no_secret_is_ever_written(tmp_path: Path, file: Path) -> None:
    async with holding_one(tmp_path, file) as (life, simulator, held, _):
        await life.until_logged("first_renewal", session_id=held)
        tokens = set(simulator.logins._tokens)
        simulator.restart(lose_tokens=True)
        count = len(keep_alives(simulator, held))
        await life.until(lambda: len(keep_alives(simulator, held)) >= count + 2)
        tokens |= set(simulator.logins._tokens)
        written = str(await life.metrics())
    written += str(life.logged())
    assert len(tokens) == 2
    for secret in (simulator.password, *tokens):
        assert secret not in written
