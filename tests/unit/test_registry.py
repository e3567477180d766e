"""The registry: holds are stored, expire, are restored, and are released."""

from __future__ import annotations

import asyncio
import errno
from itertools import pairwise

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.ports import NullPersistence
from keepalived.keeper.registry import Retention, UnknownVCenterError
from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending, Target
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import Session
from keepalived.simulator.wire import Request, Response
from tests.support.engine import NAME, OWNER, Engine, running_engine, simulator_in_loop
from tests.support.sessions import a_session

pytestmark = pytest.mark.looptime

SCRIPT = Owner(OwnerKind.TIME_LIMIT, "60")
LINE = Owner(OwnerKind.FILE, "a.yaml")
MINIMAL = RenewalPolicy(follow_ups=())


class FullDisk(NullPersistence):
    """A journal that can be made to refuse."""

    def __init__(self) -> None:
        self.is_full = False
        self.dropped: list[SessionKey] = []
        self.forgotten: list[SessionKey] = []

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        await asyncio.sleep(1)
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left")

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        await self.put_hold(key, Hold(uid, owner, 0.0, None))

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        self.dropped.append(key)

    def forget(self, key: SessionKey) -> None:
        self.forgotten.append(key)


def script(engine: Engine, *, until: float | None = None, note: str = "") -> Hold:
    return Hold(1000, SCRIPT, engine.clock.boot(), until, note=note)


def line(engine: Engine, *, until: float | None = None) -> Hold:
    return Hold(0, LINE, engine.clock.boot(), until)


async def test_a_hold_that_cannot_be_written_is_undone() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        persistence.is_full = True
        with pytest.raises(OSError, match="no space left"):
            await engine.registry.take(key, script(engine))
        assert engine.state(key) is State.RELEASED


async def test_an_update_that_cannot_be_written_leaves_the_hold_as_it_was() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        assert await engine.registry.take(key, script(engine, note="before"))
        persistence.is_full = True
        with pytest.raises(OSError, match="no space left"):
            await engine.registry.take(key, script(engine, note="after"))
        session = engine.registry.find(key)
        assert session is not None
        assert [hold.note for hold in session.holds] == ["before"]


async def test_a_release_during_a_write_that_fails_stands() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        await engine.registry.take(key, script(engine, note="before"))
        persistence.is_full = True
        taking = asyncio.create_task(engine.registry.take(key, script(engine, note="after")))
        await asyncio.sleep(0.5)
        assert engine.registry.release(key, 1000, SCRIPT)
        with pytest.raises(OSError, match="no space left"):
            await taking
        assert engine.state(key) is State.RELEASED


async def test_a_release_that_cannot_be_written_still_stops_renewing() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        await engine.registry.take(key, script(engine))
        assert await engine.registry.release_durably(key, 999, SCRIPT) is None
        persistence.is_full = True
        assert await engine.registry.release_durably(key, 1000, SCRIPT) is False
        assert engine.state(key) is State.RELEASED


async def test_a_time_limit_ends_its_hold_and_the_last_one_the_session() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        key = engine.open()
        await engine.registry.take(key, script(engine, until=engine.clock.boot() + 60))
        await asyncio.sleep(58)
        engine.registry.sweep()
        session = engine.registry.find(key)
        assert session is not None
        assert len(session.holds) == 2
        await asyncio.sleep(2)
        engine.registry.sweep()
        session = engine.registry.find(key)
        assert session is not None
        assert [hold.owner for hold in session.holds] == [OWNER]
        assert persistence.dropped == [key]


@pytest.mark.looptime(False)
async def test_many_holds_that_end_at_one_moment_never_hold_up_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keepalived.host.slices.SLICE_SECONDS", 0.0)
    held: list[int] = []  # at each turn of the loop

    async def hang(_request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with running_engine(simulator_in_loop(), policy=MINIMAL, handle=hang) as engine:
        registry = engine.registry
        for number in range(200):
            key = SessionKey(NAME, Kind.UPDATE, f"s-{number}")
            registry.hold(key, script(engine, until=engine.clock.boot() - 1))
        keeping = asyncio.create_task(registry.run_housekeeping())
        while not held or held[-1]:
            held.append(registry.held())
            await asyncio.sleep(0)
        keeping.cancel()

    assert max(earlier - later for earlier, later in pairwise(held)) <= 2


async def test_the_house_is_kept_on_time_whatever_it_was_waiting_for() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        key, registry = engine.open(), engine.registry
        keeping = asyncio.create_task(registry.run_housekeeping())
        await asyncio.sleep(1)  # by now it waits for nothing in particular
        await registry.take(key, script(engine, until=engine.clock.boot() + 2.5))
        await asyncio.sleep(1.4)
        assert not persistence.dropped
        await asyncio.sleep(0.2)
        assert persistence.dropped == [key]
        registry.release(key, 0, OWNER)
        await asyncio.sleep(engine.registry.retention.ended - 0.1)
        assert registry.find(key) is not None
        await asyncio.sleep(0.2)
        assert registry.find(key) is None
        keeping.cancel()


async def test_an_ended_session_is_shown_for_its_retention_and_then_forgotten() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        released = engine.open()
        lost = SessionKey(NAME, Kind.UPDATE, "never-there")
        engine.hold(lost)
        await asyncio.sleep(1)
        engine.release(released)
        assert engine.registry.held() == 0
        engine.clock.jump(3601)
        engine.registry.sweep()
        assert engine.registry.find(released) is None
        assert engine.state(lost) is State.NOT_FOUND
        engine.clock.jump(7 * 86400)
        engine.registry.sweep()
        assert len(engine.registry) == 0


async def test_a_snapshot_says_when_sessions_ended_also_over_a_restart() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        before = SessionKey(NAME, Kind.UPDATE, "ended-before")
        lost = a_session(before, State.EXPIRED)._replace(ending=Ending(State.EXPIRED, "gone"))
        began = engine.clock.boot()
        engine.registry.restore((), [(lost, began - 10)])
        released = engine.open()
        await asyncio.sleep(7)
        engine.release(released)
        ended_at = engine.registry.snapshot().ended_at
        assert ended_at == {before: began - 10, released: pytest.approx(began + 7)}
        engine.hold(released)
        assert engine.registry.snapshot().ended_at == {before: began - 10}
        engine.clock.jump(8 * 86400)
        engine.registry.sweep()
        assert engine.registry.snapshot().ended_at == {}


async def test_an_unknown_vcenter_is_refused() -> None:
    async with running_engine(simulator_in_loop()) as engine:
        with pytest.raises(UnknownVCenterError):
            engine.registry.hold(SessionKey("other", Kind.UPDATE, "a"), script(engine))


def stored(key: SessionKey, *, deadline: float, holds: tuple[Hold, ...] = ()) -> Session:
    return a_session(key, deadline=deadline)._replace(
        holds=holds,
        target=Target("item-1", "1"),
        item=ItemInfo("item-1", "disk", "1", "Templates"),
    )


async def test_after_a_restart_the_earliest_stored_deadline_goes_first() -> None:
    simulator = simulator_in_loop()
    ids = [simulator.open_session() for _ in range(4)]
    async with running_engine(
        simulator, policy=RenewalPolicy(follow_ups=(), max_in_flight=1)
    ) as engine:
        hold = script(engine)
        now = engine.clock.boot()
        sessions = [
            stored(SessionKey(NAME, Kind.UPDATE, each), deadline=now + left, holds=(hold,))
            for each, left in zip(ids, (200, 50, 100, 150), strict=True)
        ]
        engine.registry.restore(sessions, ())
        engine.registry.attach(engine.keeper)
        await asyncio.sleep(1)
        order = [entry.session_id for entry in simulator.ledger.requests("*.keep_alive")]
        assert order == [ids[1], ids[2], ids[3], ids[0]]


async def test_a_file_takes_up_what_was_known_of_its_session() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        known = stored(key, deadline=engine.clock.boot() + 100)._replace(lifetime=120.0)
        engine.registry.restore([known], ())
        assert engine.registry.find(key) is None
        engine.hold(key)
        session = engine.registry.find(key)
        assert session is not None
        assert (session.lifetime, session.item) == (120.0, known.item)


async def test_a_line_that_names_an_ended_session_stays_silent_after_a_restart() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        lost = a_session(key, State.EXPIRED)._replace(ending=Ending(State.EXPIRED, "it was gone"))
        engine.registry.restore((), [(lost, engine.clock.boot() - 10)])
        engine.hold(key)
        await asyncio.sleep(1)
        assert engine.state(key) is State.EXPIRED
        assert engine.attempts(key) == []
        # Told once more, it is a new wish.
        engine.hold(key)
        await asyncio.sleep(1)
        assert engine.state(key) is State.ACTIVE


async def test_a_line_whose_time_is_over_holds_nothing_after_a_restart_either() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        engine.registry.hold(key, line(engine, until=engine.clock.boot() + 30))
        await asyncio.sleep(40)
        engine.registry.sweep()
        released = engine.registry.find(key)
        assert released is not None
        assert released.state is State.RELEASED
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        engine.registry.restore((), [(released, engine.clock.boot() - 7200)])
        assert not engine.registry.hold(key, line(engine))
        assert engine.registry.find(key) is None


async def test_the_time_of_a_line_runs_on_through_a_restart() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        key = SessionKey(NAME, Kind.UPDATE, engine.simulator.open_session())
        now = engine.clock.boot()
        engine.registry.restore([stored(key, deadline=now + 100)._replace(since=now - 50)], ())
        engine.registry.hold(key, line(engine, until=now + 80))
        await asyncio.sleep(29)
        engine.registry.sweep()
        assert engine.state(key) is State.ACTIVE
        await asyncio.sleep(2)
        engine.registry.sweep()
        assert engine.state(key) is State.RELEASED


async def test_an_end_is_remembered_for_as_long_as_a_line_names_its_session() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        simulator, registry = engine.simulator, engine.registry
        registry.retention = Retention(failed=100.0)
        named, other = (SessionKey(NAME, Kind.UPDATE, simulator.open_session()) for _ in range(2))
        registry.hold(named, line(engine))
        registry.hold(other, script(engine))
        await asyncio.sleep(1)
        for key in (named, other):
            simulator.library.sessions.fail(Kind.UPDATE, key.id, "no space left")
        await asyncio.sleep(200)
        assert engine.state(named) is engine.state(other) is State.ERROR
        await asyncio.sleep(100)
        registry.sweep()
        assert registry.find(named) is registry.find(other) is None
        assert persistence.forgotten == [other]
        registry.release(named, line(engine).uid, LINE)
        assert persistence.forgotten == [other, named]


async def test_an_old_end_is_not_reported_again_and_forgotten_with_its_line() -> None:
    persistence = FullDisk()
    async with running_engine(
        simulator_in_loop(), policy=MINIMAL, persistence=persistence
    ) as engine:
        named, other = (SessionKey(NAME, Kind.UPDATE, each) for each in ("a", "b"))
        ending = Ending(State.DONE, "completed")
        ended = [a_session(key, State.DONE)._replace(ending=ending) for key in (named, other)]
        engine.registry.restore((), [(each, engine.clock.boot() - 86400.0) for each in ended])
        assert not engine.registry.hold(named, line(engine))
        engine.registry.forget_unclaimed({NAME})
        assert (engine.attempts(named), persistence.forgotten) == ([], [other])


async def test_what_no_file_names_and_no_vcenter_serves_is_let_go() -> None:
    async with running_engine(simulator_in_loop(), policy=MINIMAL) as engine:
        now = engine.clock.boot()
        elsewhere = SessionKey("gone", Kind.UPDATE, "a")
        unnamed = SessionKey(NAME, Kind.UPDATE, "b")
        engine.registry.restore(
            [
                stored(elsewhere, deadline=now + 100, holds=(script(engine),)),
                stored(unnamed, deadline=now + 100),
            ],
            (),
        )
        engine.registry.forget_unclaimed({keeper.name for keeper in engine.registry.keepers})
        assert engine.state(elsewhere) is State.RELEASED
        engine.hold(unnamed)
        session = engine.registry.find(unnamed)
        assert session is not None
        assert session.item is None
