"""What the registry reports to its listener and stores, argument by argument."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.registry import Retention, UnknownVCenterError
from keepalived.lease import events
from keepalived.lease import session as core
from keepalived.lease.answers import FileInfo, ItemInfo, Outcome, SessionInfo
from keepalived.lease.endings import Ending
from keepalived.lease.holds import LentToken, Owner, OwnerKind
from keepalived.lease.model import State
from tests.support.engine import NAME
from tests.support.scripted import BOOT, LINE, SCRIPT, Reply, Sent, as_usual, scripted
from tests.support.sessions import a_session

pytestmark = pytest.mark.looptime

MINIMAL = RenewalPolicy(follow_ups=())
FILE = FileInfo("disk.vmdk", "PUSH", "ERROR", 5, 10, "checksum")
OTHER_LINE = Owner(OwnerKind.FILE, "b.yaml")
GONE = Ending(State.EXPIRED, "gone")


# -- to the listener


async def test_what_follows_from_an_answer_is_told_and_a_renewal_written() -> None:
    async with scripted() as engine:
        key = engine.hold("a")
        session = engine.find(key)
        engine.told.all.clear()
        moving, renewed = events.SessionMoving(key), events.Renewed(key, False, 80.0, 40)
        engine.registry.commit(session, (moving,))
        assert engine.written.all == []
        engine.registry.commit(session, (renewed,))
        assert engine.told.all == [moving, renewed]
        assert engine.written.all == [("note_session", session)]


async def test_what_happens_to_holds_is_told_before_the_events_that_follow() -> None:
    async with scripted() as engine:
        registry, key = engine.registry, engine.hold("a")
        first, line = engine.a_hold(), engine.a_hold(owner=LINE)
        changed = replace(first, note="changed")
        assert not registry.hold(key, changed)
        assert registry.hold(key, line)
        # Nobody else's hold, and nobody's at all.
        assert not registry.release(key, 999, SCRIPT)
        assert not registry.release(engine.key("unknown"), 1000, SCRIPT)
        assert engine.told.all == [
            events.HoldTaken(key, first),
            events.HoldChanged(key, first, changed),
            events.HoldTaken(key, line),
        ]
        engine.told.all.clear()
        assert registry.release(key, 1000, SCRIPT)
        assert engine.find(key).holds == (line,)
        assert registry.release(key, 1000, LINE)
        gone, last, end = engine.told.all
        assert gone == events.HoldReleased(key, changed, State.PENDING)
        assert last == events.HoldReleased(key, line, State.RELEASED)
        assert isinstance(end, events.SessionEnd)


async def test_an_end_takes_all_holds_with_it() -> None:
    async with scripted() as engine:
        key = engine.hold("a")
        engine.hold("a", owner=LINE)
        engine.told.all.clear()
        ended, happened = core.finish(engine.find(key), GONE, engine.clock.boot())
        engine.registry.commit(ended, happened)
        released = engine.told.of(events.HoldReleased)
        assert [(each.hold.owner, each.state) for each in released] == [
            (SCRIPT, State.EXPIRED),
            (LINE, State.EXPIRED),
        ]
        assert engine.told.all == [*released, *happened]


async def test_a_session_that_begins_anew_was_forgotten_before() -> None:
    async with scripted() as engine:
        key = engine.hold("a")
        assert engine.told.of(events.SessionForgotten) == []
        engine.registry.release(key, 1000, SCRIPT)
        engine.told.all.clear()
        engine.hold("a")
        assert engine.told.all[:2] == [
            events.SessionForgotten(key),
            events.HoldTaken(key, engine.find(key).holds[0]),
        ]


@pytest.mark.parametrize(
    ("has_credentials", "other_token", "fallback"),
    [(True, None, True), (False, "other", True), (False, None, False)],
)
async def test_a_refused_token_is_told_with_whether_there_is_another_way(
    has_credentials: bool, other_token: str | None, fallback: bool
) -> None:
    def reply(sent: Sent) -> Reply:
        return Reply(Outcome.UNAUTHENTICATED) if sent.token == "lent" else as_usual(sent)

    async with scripted(RenewalPolicy(follow_ups=(), has_credentials=has_credentials)) as engine:
        engine.vcenter.reply = reply
        key = engine.hold("a", token="lent")
        engine.hold("a", owner=LINE, token=other_token)
        await asyncio.sleep(1)
        refused = events.TokenRefused(key, SCRIPT, fallback)
        assert engine.told.of(events.TokenRefused) == [refused]


async def test_an_end_is_told_and_written_with_all_that_is_known() -> None:
    def reply(sent: Sent) -> Reply:
        if sent.what == "get" and sent.at > 50:
            return Reply(
                value=SessionInfo("a", "ERROR", "item-1", "1", error_message="no space left")
            )
        if sent.what == "item" and sent.at > 50:
            return Reply(value=ItemInfo("item-1", "disk", "2", "Templates"))
        if sent.what == "get":
            return Reply(value=SessionInfo("a", "ACTIVE", "item-1", "1", client_progress=40))
        return as_usual(sent)

    async with scripted(RenewalPolicy(follow_ups=(), session_timeout=100.0)) as engine:
        engine.vcenter.reply = reply
        await engine.until(10)
        key = engine.hold("a")
        await engine.until(55)
        await engine.keeper.renew_now(key)
        engine.vcenter.reply = lambda sent: (
            Reply(Outcome.NOT_ALLOWED) if sent.what == "keep_alive" else reply(sent)
        )
        await engine.until(60)
        renewals = engine.find(key).renewals
        await engine.keeper.renew_now(key)
        await engine.until(61)
        (end,) = engine.told.of(events.SessionEnd)
        assert end == events.SessionEnd(
            key=key,
            state=State.ERROR,
            reason=end.reason,
            error_message="no space left",
            held_seconds=end.held_seconds,
            keep_alives=renewals,
            progress=40,
            library="Templates",
            item="disk",
            content_moved=True,
        )
        assert end.held_seconds == pytest.approx(50.0)
        session = engine.find(key)
        assert session.ending is not None
        assert (end.reason, end.reason != "") == (session.ending.reason, True)
        ended_at = BOOT + 10.0 + end.held_seconds
        assert engine.written.of("note_end") == [("note_end", session, pytest.approx(ended_at))]


async def test_an_end_of_which_little_is_known_says_so() -> None:
    async with scripted() as engine:
        engine.vcenter.reply = lambda sent: Reply(Outcome.FAILED)
        key = engine.hold("a")
        await engine.until(7)
        engine.registry.release(key, 1000, SCRIPT)
        (end,) = engine.told.of(events.SessionEnd)
        assert end == events.SessionEnd(
            key, State.RELEASED, end.reason, None, 7.0, 0, None, None, None, None
        )


async def test_a_transfer_that_stands_still_for_the_configured_time_is_told() -> None:
    def reply(sent: Sent) -> Reply:
        size = 10 if sent.at > 50 else 5
        files = (FileInfo("disk", "PUSH", "TRANSFERRING", size),)
        return Reply(value=files) if sent.what == "files" else as_usual(sent)

    async with scripted(RenewalPolicy(stall_timeout=300.0)) as engine:
        engine.vcenter.reply = reply
        engine.hold("a", owner=Owner(OwnerKind.DISCOVERY))
        engine.hold("b")
        await engine.until(1000)
        assert {each.key.id for each in engine.told.of(events.SessionStalled)} == {"a", "b"}
        assert engine.find(engine.key("a")).state is State.RELEASED
        assert engine.find(engine.key("b")).state is State.ACTIVE


# -- to the journal


async def test_a_hold_is_written_as_it_was_taken_and_let_go() -> None:
    async with scripted() as engine:
        key, hold = engine.key("a"), engine.a_hold(uid=1001)
        assert await engine.registry.take(key, hold) is True
        assert await engine.registry.take(key, hold) is False
        assert engine.written.of("put_hold") == [("put_hold", key, hold)] * 2
        assert await engine.registry.release_durably(key, 1001, LINE) is None
        assert engine.written.of("delete_hold") == []
        assert await engine.registry.release_durably(key, 1001, SCRIPT) is True
        assert engine.written.of("delete_hold") == [("delete_hold", key, 1001, SCRIPT)]


async def test_each_hold_whose_time_is_over_is_dropped_and_no_other() -> None:
    async with scripted() as engine:
        gone = engine.hold("gone", until=60)
        engine.registry.release(gone, 1000, SCRIPT)
        key = engine.hold("a", uid=1001, until=60)
        engine.hold("a", uid=1002, owner=LINE, until=60)
        engine.hold("a", uid=1003, until=90)
        engine.hold("a", uid=1004)
        engine.told.all.clear()
        await engine.until(61)
        engine.registry.sweep()
        assert engine.written.of("drop_hold") == [
            ("drop_hold", key, 1001, SCRIPT),
            ("drop_hold", key, 1002, LINE),
        ]
        assert [each.hold.uid for each in engine.told.of(events.HoldReleased)] == [1001, 1002]
        assert [hold.uid for hold in engine.find(key).holds] == [1003, 1004]
        await engine.until(91)
        engine.registry.sweep()
        assert [hold.uid for hold in engine.find(key).holds] == [1004]


async def test_what_is_restored_too_late_to_be_shown_is_forgotten_unless_a_line_may_name_it() -> (
    None
):
    async with scripted() as engine:
        released = a_session(engine.key("released"), State.RELEASED)
        endings = {
            "released": Ending(State.RELEASED, "its last hold was released"),
            "over": Ending(State.RELEASED, core.LINE_IS_OVER),
            "lost": GONE,
        }
        ended = [
            released._replace(key=engine.key(each), state=ending.state, ending=ending)
            for each, ending in endings.items()
        ]
        long_ago = engine.clock.boot() - 8 * 86400.0
        engine.registry.restore((), [(each, long_ago) for each in ended])
        assert engine.written.all == [("forget", released.key)]
        assert len(engine.registry) == 0
        # An end that nobody knows the reason of is no line's.
        unknown = released._replace(key=engine.key("unknown"), ending=None)
        engine.registry.restore((), [(unknown, long_ago)])
        assert engine.written.all[1:] == [("forget", unknown.key)]


async def test_what_no_source_names_is_forgotten_where_its_sources_were_read() -> None:
    async with scripted() as engine:
        registry = engine.registry
        known = [a_session(engine.key("known", each))._replace(holds=()) for each in (NAME, "off")]
        over = [
            a_session(engine.key("over", each), State.EXPIRED)._replace(ending=GONE)
            for each in (NAME, "off")
        ]
        long_ago = engine.clock.boot() - 8 * 86400.0
        registry.restore(known, [(each, long_ago) for each in over])
        # Of this vCenter not all sources could be read; the other one is not configured any more.
        registry.forget_unclaimed(())
        assert engine.written.of("forget") == [("forget", known[1].key), ("forget", over[1].key)]
        registry.forget_unclaimed({NAME})
        assert engine.written.of("forget")[2:] == [
            ("forget", known[0].key),
            ("forget", over[0].key),
        ]


async def test_an_end_that_a_line_named_is_forgotten_once() -> None:
    async with scripted() as engine:
        key = engine.key("a")
        lost = a_session(key, State.EXPIRED)._replace(ending=GONE)
        engine.registry.restore((), [(lost, engine.clock.boot() - 8 * 86400.0)])
        assert not engine.registry.hold(key, engine.a_hold(owner=LINE))
        for _ in range(2):
            assert not engine.registry.release(key, 1000, LINE)
        assert engine.written.of("forget") == [("forget", key)]


# -- lines over a restart


async def test_a_session_that_began_anew_is_held_by_other_lines_as_any_is() -> None:
    async with scripted() as engine:
        key = engine.key("a")
        lost = a_session(key, State.EXPIRED)._replace(ending=GONE)
        engine.registry.restore((), [(lost, engine.clock.boot() - 10)])
        line = engine.a_hold(owner=LINE)
        assert [engine.registry.hold(key, line) for _ in range(2)] == [False, True]
        assert engine.registry.hold(key, engine.a_hold(owner=OTHER_LINE))
        assert len(engine.find(key).holds) == 2


async def test_a_session_that_began_anew_without_its_line_is_forgotten_in_the_end() -> None:
    async with scripted() as engine:
        registry, key = engine.registry, engine.key("a")
        registry.retention = Retention(ended=100.0)
        lost = a_session(key, State.EXPIRED)._replace(ending=GONE)
        registry.restore((), [(lost, engine.clock.boot() - 10)])
        registry.hold(key, engine.a_hold(owner=LINE))
        engine.hold("a")
        registry.release(key, 1000, SCRIPT)
        await engine.until(101)
        registry.sweep()
        assert engine.written.of("forget") == [("forget", key)]


async def test_a_session_is_forgotten_in_the_end_whose_line_was_over_before_it() -> None:
    async with scripted() as engine:
        registry = engine.registry
        registry.retention = Retention(ended=100.0)
        key = engine.hold("a", owner=LINE, until=60)
        engine.hold("a")
        await engine.until(61)
        registry.sweep()
        registry.release(key, 1000, SCRIPT)
        await engine.until(162)
        registry.sweep()
        assert engine.written.of("forget") == [("forget", key)]


async def test_the_time_of_a_line_counts_from_when_its_session_was_first_held() -> None:
    async with scripted() as engine:
        key, now = engine.key("a"), engine.clock.boot()
        known = a_session(key, deadline=now + 100)._replace(holds=(), since=now - 50)
        engine.registry.restore([known], ())
        engine.hold("a", owner=LINE, until=80)
        (hold,) = engine.find(key).holds
        assert (hold.since, hold.until) == (now - 50, now + 30)
        assert hold.owner == LINE


# -- vCenters, and what is shown


async def test_a_vcenter_that_is_not_configured_any_more_is_unknown() -> None:
    async with scripted() as engine:
        key = engine.hold("a")
        engine.registry.detach(NAME)
        assert engine.find(key).state is State.RELEASED
        assert engine.registry.keepers == ()
        with pytest.raises(UnknownVCenterError, match=NAME):
            engine.hold("b")


async def test_what_is_shown_is_what_is_known_now() -> None:
    async with scripted() as engine:
        key = engine.hold("a")
        await engine.until(5)
        session, views = engine.find(key), (engine.keeper.view(),)
        engine_view, snapshot = engine.registry.engine_view(), engine.registry.snapshot()
        assert (engine_view.now, snapshot.now) == (BOOT + 5, BOOT + 5)
        assert (engine_view.vcenters, snapshot.vcenters) == (views, views)
        assert (tuple(engine_view.sessions), snapshot.sessions) == ((session,), (session,))
        assert snapshot.ended_at == {}


async def test_a_token_is_known_to_work_once_it_has_renewed_the_session() -> None:
    async with scripted(MINIMAL) as engine:
        key = engine.hold("a", token="lent")
        await engine.until(1)
        assert engine.find(key).holds[0].token == LentToken("lent")
        assert [hold.token.proven for hold in engine.find(key).holds if hold.token] == [True]
