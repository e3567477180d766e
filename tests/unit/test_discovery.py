"""Discovery: what is taken, what is left alone, and what it asks for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.settings import Discover
from keepalived.simulator.faults import Fail, Latency
from keepalived.sources import discovery
from keepalived.sources.discovery import Decision, Found, Presence, decide
from keepalived.vcenter import parsing
from tests.support.discovering import (
    LOOK,
    Scout,
    Uploader,
    discovering,
    scouting,
    scouting_an_upload,
)
from tests.support.engine import NAME, simulator_in_loop

ALL = Discover()
ISOS = Discover(items=("*.iso",))
NAMED = Found(item_id="i", is_named=True, library="isos", item="a.iso")
OTHER = Found(item_id="i", is_named=True, library="isos", item="a.ova")


@pytest.mark.parametrize(
    ("found", "presence", "discover", "verdict"),
    [
        # Off: what is held is let go, and nothing else matters.
        (None, Presence.UNKNOWN, None, Decision.LEAVE),
        (Found(), Presence.OURS, None, Decision.RELEASE),
        # All of it.
        (None, Presence.UNKNOWN, ALL, Decision.READ),
        (Found(), Presence.UNKNOWN, ALL, Decision.TAKE),
        (Found(is_over=True), Presence.UNKNOWN, ALL, Decision.LEAVE),
        (Found(), Presence.OURS, ALL, Decision.LEAVE),
        # What others hold, and what is over, is left alone and not even read.
        (None, Presence.OTHERS, ALL, Decision.LEAVE),
        (Found(), Presence.OTHERS, ALL, Decision.LEAVE),
        (None, Presence.OVER, ALL, Decision.LEAVE),
        (Found(), Presence.OVER, ALL, Decision.LEAVE),
        # But for what nothing but settings let go.
        (Found(is_withdrawn=True), Presence.OVER, ALL, Decision.TAKE),
        (Found(is_withdrawn=True), Presence.OTHERS, ALL, Decision.LEAVE),
        # Filters want names.
        (Found(), Presence.UNKNOWN, ISOS, Decision.NAME),
        (Found(), Presence.OURS, ISOS, Decision.NAME),
        (Found(is_named=True), Presence.UNKNOWN, ISOS, Decision.LEAVE),
        (NAMED, Presence.UNKNOWN, ISOS, Decision.TAKE),
        (NAMED, Presence.OURS, ISOS, Decision.LEAVE),
        (OTHER, Presence.UNKNOWN, ISOS, Decision.LEAVE),
        (OTHER, Presence.OURS, ISOS, Decision.RELEASE),
    ],
)
def test_decisions(
    found: Found | None, presence: Presence, discover: Discover | None, verdict: Decision
) -> None:
    assert decide(found, presence, discover) is verdict


pytestmark = pytest.mark.looptime


async def test_what_is_opened_is_held_within_the_interval() -> None:
    simulator = simulator_in_loop()
    early = Uploader(simulator)
    async with scouting(simulator) as scout:
        await asyncio.sleep(1)
        assert scout.finds(early.id)
        late = Uploader(simulator)
        download = simulator.open_session(kind=Kind.DOWNLOAD)
        await asyncio.sleep(LOOK)
        assert scout.finds(late.id)
        assert scout.finds(download, Kind.DOWNLOAD)
        await asyncio.sleep(3600)
        assert early.is_there
        assert late.is_there
        assert scout.ear.heard == []


async def test_short_lifetimes_are_looked_at_more_often() -> None:
    simulator = simulator_in_loop(session_timeout=20)
    settings = discovering()
    lab = settings.vcenters[NAME].replace(session_timeout=20.0)
    async with scouting(simulator, settings.replace(vcenters={NAME: lab})) as scout:
        await asyncio.sleep(1)
        uploader = Uploader(simulator)
        await asyncio.sleep(2)
        assert scout.finds(uploader.id)


async def test_one_list_a_kind_and_look_and_one_question_a_session() -> None:
    simulator = simulator_in_loop()
    for _ in range(3):
        Uploader(simulator)
    ended = Uploader(simulator)
    ended.complete()
    async with scouting(simulator) as scout:
        await asyncio.sleep(1)
        asked_at_first = scout.asked("update_session.get")
        await asyncio.sleep(10 * LOOK)
        assert scout.asked("update_session.list") == 11
        assert scout.asked("download_session.list") == 11
        assert not scout.finds(ended.id)
        # The one that is over was asked for once; what is held, the keeper looks at.
        gets = [entry.session_id for entry in simulator.ledger.requests("update_session.get")]
        assert gets.count(ended.id) == 1
        assert asked_at_first == 4 + 3


async def test_never_two_requests_at_once_for_discovery() -> None:
    simulator = simulator_in_loop()
    uploaders = [Uploader(simulator) for _ in range(20)]
    simulator.faults.add(Latency(0.1), route="*_session.get")
    settings = discovering({"items": ["*.iso"]})
    async with scouting(simulator, settings) as scout:
        await asyncio.sleep(10)
        assert not any(scout.finds(each.id) for each in uploaders)
        assert simulator.ledger.most_concurrent() == 1


@pytest.mark.parametrize(
    ("filters", "taken"),
    [
        ({"items": ["*.iso"]}, {"debian.iso"}),
        ({"libraries": ["library"]}, {"debian.iso", "image.ova"}),
        ({"libraries": ["lib*"], "items": ["image.*", "x"]}, {"image.ova"}),
        ({"libraries": ["isos"]}, set()),
    ],
)
async def test_filters(filters: dict[str, Any], taken: set[str]) -> None:
    simulator = simulator_in_loop()
    uploaders = {name: Uploader(simulator, name) for name in ("debian.iso", "image.ova")}
    async with scouting(simulator, discovering(filters)) as scout:
        await asyncio.sleep(5 * LOOK)
        assert {name for name, each in uploaders.items() if scout.finds(each.id)} == taken
        # Names are asked for once; the keeper asks again, early on, for what it holds.
        assert scout.asked("item.get") <= 2 + 3 * len(taken)


async def test_what_others_hold_is_theirs() -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey(NAME, Kind.UPDATE, uploader.id)
    async with scouting(simulator) as scout:
        scout.engine.hold(key)
        await asyncio.sleep(3 * LOOK)
        assert not scout.finds(uploader.id)
        scout.engine.release(key)
        await asyncio.sleep(3 * LOOK)
        assert not scout.finds(uploader.id)
        assert scout.state(uploader.id) is State.RELEASED


async def test_what_was_released_stays_released_even_once_that_is_forgotten() -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey(NAME, Kind.UPDATE, uploader.id)
    async with scouting(simulator) as scout:
        await asyncio.sleep(1)
        (hold,) = scout.engine.registry.find(key).holds  # type: ignore[union-attr]  # it is found
        scout.engine.registry.release(key, hold.uid, hold.owner)
        # Somebody else keeps it alive; here it is forgotten an hour after its end.
        for _ in range(30):
            await asyncio.sleep(240)
            simulator.library.sessions.keep_alive(Kind.UPDATE, uploader.id, None)
            scout.engine.registry.sweep()
        assert uploader.is_there
        assert scout.engine.registry.find(key) is None


async def test_a_second_hold_of_discovery_does_not_outlive_its_own_release() -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    key = SessionKey(NAME, Kind.UPDATE, uploader.id)
    process = Owner(OwnerKind.PROCESS, "1")
    async with scouting(simulator) as scout:
        await asyncio.sleep(1)
        scout.engine.registry.hold(key, Hold(7, process, scout.engine.clock.boot(), None))
        session = scout.engine.registry.find(key)
        assert session is not None
        ours = session.holds[0]
        scout.engine.registry.release(key, ours.uid, ours.owner)
        await asyncio.sleep(3 * LOOK)
        assert not scout.finds(uploader.id)
        assert scout.state(uploader.id) is State.ACTIVE


@asynccontextmanager
async def scouting_three() -> AsyncIterator[tuple[Scout, list[Uploader]]]:
    """Let discovery look twice where there are three uploads."""
    simulator = simulator_in_loop()
    uploaders = [Uploader(simulator) for _ in range(3)]
    async with scouting(simulator) as scout:
        await asyncio.sleep(2 * LOOK)
        yield scout, uploaders


async def test_no_more_is_held_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "HOLDS_MOST", 2)
    async with scouting_three() as (scout, uploaders):
        held = [each for each in uploaders if scout.finds(each.id)]
        assert len(held) == 2
        place = f"discovery {NAME}"
        assert scout.ear.heard == [("failed", place, "2 are, which is the limit")]
        assert scout.ear.problems == ["not all update sessions are held: 2 are, which is the limit"]
        held[0].complete()
        await asyncio.sleep(20 * LOOK)
        assert [scout.finds(each.id) for each in uploaders if each is not held[0]] == [True, True]
        assert scout.ear.heard[1:] == [("recovered", place)]


async def test_of_too_long_a_list_the_beginning_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "IDS_MOST", 2)
    async with scouting_three() as (scout, uploaders):
        assert sum(scout.finds(each.id) for each in uploaders) == 2
        words = "not all update sessions are checked: only the first 2 were read"
        assert scout.ear.problems == [words]


async def test_turned_off_and_on_again() -> None:
    async with scouting_an_upload() as (scout, uploader):
        await asyncio.sleep(1)
        scout.discovery.apply(discovering(False))
        assert scout.state(uploader.id) is State.RELEASED
        await asyncio.sleep(LOOK)
        lists = scout.asked("*.list")
        await asyncio.sleep(5 * LOOK)
        assert scout.asked("*.list") == lists
        scout.discovery.apply(discovering(True))
        await asyncio.sleep(1)
        assert scout.finds(uploader.id)


async def test_changed_filters_judge_anew() -> None:
    simulator = simulator_in_loop()
    iso, ova = Uploader(simulator, "a.iso"), Uploader(simulator, "a.ova")
    async with scouting(simulator) as scout:
        await asyncio.sleep(1)
        scout.discovery.apply(discovering({"items": ["*.iso"]}))
        await asyncio.sleep(LOOK)
        assert (scout.finds(iso.id), scout.finds(ova.id)) == (True, False)
        scout.discovery.apply(discovering({"items": ["*.ova"]}))
        # The names are known by now: what is not meant any more is let go at once.
        assert not scout.finds(iso.id)
        await asyncio.sleep(LOOK)
        assert (scout.finds(iso.id), scout.finds(ova.id)) == (False, True)


async def test_it_rests_while_keepers_are_replaced() -> None:
    simulator = simulator_in_loop()
    async with scouting(simulator) as scout:
        await asyncio.sleep(1)
        await scout.discovery.rest()
        # Nothing is under way any more: the keeper may close its connections.
        assert "discovery lab" not in {task.get_name() for task in asyncio.all_tasks()}
        lists = scout.asked("*.list")
        await asyncio.sleep(5 * LOOK)
        assert scout.asked("*.list") == lists
        uploader = Uploader(simulator)
        scout.discovery.apply(discovering())
        await asyncio.sleep(1)
        assert scout.finds(uploader.id)


async def test_nothing_is_asked_while_the_vcenter_is_down() -> None:
    async with scouting_an_upload() as (scout, held):
        await asyncio.sleep(1)
        assert scout.finds(held.id)
        scout.engine.simulator.faults.add(Fail(503))
        await asyncio.sleep(300)
        assert not scout.engine.keeper.view().up
        lists = scout.asked("*.list")
        await asyncio.sleep(20 * LOOK)
        # Its keeper probes, and says that it is down.
        assert scout.asked("*.list") == lists
        scout.engine.simulator.faults.clear()
        await asyncio.sleep(60)
        late = Uploader(scout.engine.simulator)
        await asyncio.sleep(LOOK)
        assert scout.finds(late.id)
        assert [each[0] for each in scout.ear.heard] == ["failed", "recovered"]


async def test_failures_are_said_once_and_the_end_of_them() -> None:
    simulator = simulator_in_loop()
    fault = simulator.faults.add(Fail(403), route="download_session.list")
    async with scouting(simulator) as scout:
        uploader = Uploader(simulator)
        await asyncio.sleep(5 * LOOK)
        assert scout.finds(uploader.id)
        ((what, source, _),) = scout.ear.heard
        assert (what, source) == ("failed", "discovery lab")
        assert scout.ear.problems[0].startswith("the download sessions cannot be listed: ")
        simulator.faults.remove(fault)
        await asyncio.sleep(LOOK)
        assert scout.ear.heard[1:] == [("recovered", "discovery lab")]


async def test_a_session_that_cannot_be_read_is_asked_for_again() -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    fault = simulator.faults.add(Fail(500), route="update_session.get")
    async with scouting(simulator) as scout:
        await asyncio.sleep(2 * LOOK)
        assert not scout.finds(uploader.id)
        assert [each[:2] for each in scout.ear.heard] == [("failed", "discovery lab")]
        simulator.faults.remove(fault)
        await asyncio.sleep(LOOK)
        assert scout.finds(uploader.id)


async def test_an_ended_session_is_forgotten_with_the_list() -> None:
    async with scouting_an_upload() as (scout, uploader):
        await asyncio.sleep(1)
        uploader.complete()
        await asyncio.sleep(300)
        assert scout.state(uploader.id) is State.DONE
        scout.engine.simulator.library.sessions.delete(Kind.UPDATE, uploader.id)
        scout.engine.simulator.open_session(session_id=uploader.id)
        await asyncio.sleep(LOOK)
        # The registry knows how that id ended, and so it is left alone.
        assert not scout.finds(uploader.id)


async def test_what_is_remembered_from_before_a_restart_waits_for_the_first_list() -> None:
    async with scouting_an_upload() as (scout, uploader):
        await asyncio.sleep(200)
        key = SessionKey(NAME, Kind.UPDATE, uploader.id)
        before = scout.engine.registry.find(key)
        assert before is not None
    simulator = scout.engine.simulator
    async with scouting(simulator, discovering(False)) as scout:
        await asyncio.sleep(0.1)
        # As the state file tells of it: without its hold.
        scout.engine.registry.restore([before._replace(holds=())], [])
        scout.discovery.apply(discovering())
        await asyncio.sleep(LOOK)
        after = scout.engine.registry.find(key)
        assert after is not None
        assert after.since == before.since
