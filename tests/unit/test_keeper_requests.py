"""The keeper's requests: their timeouts, tokens and order, and the events they cause."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease import events
from keepalived.lease.answers import Outcome, SessionInfo
from keepalived.lease.model import Kind, State
from keepalived.lease.session import RequestKind
from tests.support.engine import NAME
from tests.support.scripted import BOOT, LINE, Reply, Scripted, Sent, as_usual, scripted

pytestmark = pytest.mark.looptime

MINIMAL = RenewalPolicy(follow_ups=())
ROUND = ["keep_alive", "get", "files", "item"]


@pytest.mark.parametrize(("configured", "timeout"), [(None, 10.0), (7.0, 7.0)])
async def test_each_request_goes_out_with_the_lent_token_and_a_time_out(
    configured: float | None, timeout: float
) -> None:
    async with scripted(RenewalPolicy(request_timeout=configured)) as engine:
        engine.hold("a", token="lent")
        await asyncio.sleep(1)
        sent = engine.vcenter.sent
        assert [each.what for each in sent] == ROUND
        assert {(each.timeout, each.token) for each in sent} == {(timeout, "lent")}
        assert [each.of for each in sent] == ["a", "a", "a", "item-1"]
        assert {each.kind for each in sent[:3]} == {Kind.UPDATE}


async def test_without_a_lent_token_none_goes_out() -> None:
    async with scripted() as engine:
        engine.hold("a")
        await asyncio.sleep(1)
        assert [(each.what, each.token) for each in engine.vcenter.sent] == [
            (what, None) for what in ROUND
        ]


@pytest.mark.parametrize(("configured", "timeout"), [(None, 10.0), (7.0, 7.0)])
async def test_the_logout_has_a_time_out(configured: float | None, timeout: float) -> None:
    async with scripted(RenewalPolicy(request_timeout=configured)) as engine:
        await engine.keeper.close()
        assert engine.vcenter.closed == [timeout]


# -- with credentials of one's own, and without


@pytest.mark.parametrize(("has_credentials", "tokens"), [(True, [None]), (False, ["lent"])])
async def test_a_token_that_failed_once_is_tried_again_where_there_is_nothing_else(
    has_credentials: bool, tokens: list[str | None]
) -> None:
    async with scripted(RenewalPolicy(follow_ups=(), has_credentials=has_credentials)) as engine:
        engine.vcenter.reply = lambda sent: Reply(Outcome.FAILED)
        key = engine.hold("a", uid=1000, token="lent")
        engine.hold("a", uid=1001)
        await asyncio.sleep(1.5)
        sent = engine.vcenter.of("keep_alive", key=key)
        assert [each.token for each in sent] == ["lent", *tokens]
        assert [each.at for each in sent] == [0.0, 1.0]


@pytest.mark.parametrize("has_credentials", [True, False])
async def test_what_is_refused_to_a_lent_token_is_asked_again_with_what_else_there_is(
    has_credentials: bool,
) -> None:
    def reply(sent: Sent) -> Reply:
        if sent.token is None:
            return as_usual(sent)
        return Reply(Outcome.FORBIDDEN, status=403, detail="not yours")

    async with scripted(RenewalPolicy(follow_ups=(), has_credentials=has_credentials)) as engine:
        engine.vcenter.reply = reply
        key = engine.hold("a", token="lent")
        answer = await engine.keeper.renew_now(key)
        assert answer is not None
        sent = [(each.at, each.token) for each in engine.vcenter.of("keep_alive")]
        failed = engine.told.of(events.RenewalFailed)
        if has_credentials:
            # Whoever asked for it hears what became of it in the end.
            assert answer.outcome is Outcome.OK
            assert (sent, failed) == ([(0.0, "lent"), (0.0, None)], [])
        else:
            assert answer.outcome is Outcome.FORBIDDEN
            assert sent == [(0.0, "lent")]
            assert [(each.outcome, each.retry_in) for each in failed] == [("forbidden", 1.0)]


async def test_refused_tokens_are_no_sign_of_an_outage() -> None:
    def reply(sent: Sent) -> Reply:
        # To a token that says nothing, some proxies answer 401 as a failure of theirs.
        if sent.token is None:
            return as_usual(sent)
        return Reply(Outcome.UNAVAILABLE, status=401)

    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = reply
        for number in range(4):
            engine.hold(str(number), token=f"lent-{number}")
        await asyncio.sleep(1)
        assert engine.told.of(events.VCenterDown) == []
        assert len(engine.told.of(events.Renewed)) == 4


# -- renewals that somebody asks for


async def test_the_pause_counts_from_the_last_renewal() -> None:
    async with scripted(MINIMAL) as engine:
        key = engine.hold("a")
        await engine.until(10)
        for _ in range(2):
            answer = await engine.registry.renew_now(key, 30.0)
            assert answer is not None
            assert answer.outcome is Outcome.OK
        assert engine.vcenter.times("keep_alive") == [0.0, 30.0, 60.0]


async def test_without_a_pause_it_goes_out_at_once() -> None:
    async with scripted(MINIMAL) as engine:
        key = engine.hold("a")
        await engine.until(0.4)
        await engine.keeper.renew_now(key)
        await engine.until(0.7)
        await engine.registry.renew_now(key)
        assert engine.vcenter.times("keep_alive") == [0.0, 0.4, 0.7]


async def test_what_was_never_renewed_knows_no_pause() -> None:
    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = lambda sent: Reply(Outcome.FAILED)
        key = engine.hold("a")
        await engine.until(0.5)
        await engine.keeper.renew_now(key, 30.0)
        assert engine.vcenter.times("keep_alive") == [0.0, 0.5]


async def test_nobody_waits_for_a_session_that_is_unknown_or_over() -> None:
    def reply(sent: Sent) -> Reply:
        if sent.what == "get":
            return Reply(value=SessionInfo("a", "DONE", "item-1", "2"))
        return Reply(Outcome.FAILED) if sent.what == "item" else Reply(Outcome.NOT_ALLOWED)

    async with scripted(MINIMAL) as engine:
        assert await engine.registry.renew_now(engine.key("a", "elsewhere")) is None
        assert await engine.registry.renew_now(engine.key("unknown")) is None
        key = engine.hold("a")
        await engine.until(1)
        # Its end is known only now, and it waits for a look at its item.
        engine.vcenter.reply = reply
        await engine.keeper.renew_now(key)
        await asyncio.sleep(0.1)
        session = engine.find(key)
        assert session.ending is not None
        assert not session.state.is_final
        asked = engine.now()
        assert await engine.keeper.renew_now(key) is None
        assert engine.now() == asked
        await asyncio.sleep(30)
        assert engine.find(key).state is State.DONE
        assert await engine.keeper.renew_now(key) is None


async def test_whoever_waits_hears_that_the_session_was_let_go() -> None:
    async with scripted(MINIMAL) as engine:
        key = engine.hold("a")
        await engine.until(1)
        waiting = asyncio.create_task(engine.keeper.renew_now(key, 60.0))
        await engine.until(2)
        engine.registry.release(key, 1000, engine.find(key).holds[0].owner)
        assert await waiting is None
        assert engine.now() == 2.0
        assert engine.keeper.view().next_due is None
        await asyncio.sleep(100)
        assert len(engine.told.of(events.AttemptStarted)) == 1


async def test_whoever_asks_while_a_session_is_looked_at_gets_another_renewal() -> None:
    def reply(sent: Sent) -> Reply:
        usual = as_usual(sent)
        return Reply(value=usual.value, took=5.0) if sent.what == "get" else usual

    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = reply
        key = engine.hold("a")
        await engine.until(2)
        answer = await engine.keeper.renew_now(key)
        assert answer is not None
        assert engine.vcenter.times("keep_alive") == [0.0, 5.0]


# -- whose turn it is


async def test_a_new_session_goes_before_what_was_renewed_after_it_came() -> None:
    took: dict[tuple[str, str], float] = {}

    def reply(sent: Sent) -> Reply:
        return Reply(value=as_usual(sent).value, took=took.get((sent.what, str(sent.of)), 0.0))

    async with scripted(RenewalPolicy(follow_ups=(RequestKind.GET,), max_in_flight=1)) as engine:
        engine.vcenter.reply = reply
        busy, old = engine.hold("busy"), engine.hold("old")
        await engine.until(3)
        took |= {("keep_alive", "busy"): 7.0, ("get", "old"): 5.0}
        asking = [asyncio.create_task(engine.keeper.renew_now(busy))]
        await engine.until(4)
        engine.hold("new")
        asking.append(asyncio.create_task(engine.keeper.renew_now(old)))
        await engine.until(12)
        # It is looked at until 15, and the other one is renewed until 22, whose turn it is before.
        asking += [asyncio.create_task(engine.keeper.renew_now(each)) for each in (old, busy)]
        await asyncio.gather(*asking)
        sent = [(each.at, each.of) for each in engine.vcenter.of("keep_alive")]
        assert sent[2:5] == [(3.0, "busy"), (10.0, "old"), (15.0, "busy")]
        assert [of for _, of in sent[5:]] == ["new", "old"]


@pytest.mark.parametrize(("workers", "looking"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12)])
async def test_some_workers_are_kept_for_renewals(workers: int, looking: int) -> None:
    def reply(sent: Sent) -> Reply:
        return Reply(value=as_usual(sent).value, took=0.0 if sent.what == "keep_alive" else 5.0)

    async with scripted(RenewalPolicy(max_in_flight=workers)) as engine:
        engine.vcenter.reply = reply
        for number in range(workers):
            engine.hold(str(number))
        for round_began in (0.0, 105.0):
            await engine.until(round_began + 2)
            assert engine.vcenter.at_once == looking


@pytest.mark.parametrize(("backlog", "looked_at"), [(8, ["0"]), (9, ["1"]), (10, [])])
async def test_under_a_backlog_nothing_but_renewals_is_sent(
    backlog: int, looked_at: list[str]
) -> None:
    async with scripted(RenewalPolicy(follow_ups=(), max_in_flight=2)) as engine:
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=1.0)
        # Two workers take one each. The first takes another before the second has its answer.
        for number in range(backlog + 2):
            engine.hold(str(number))
        await engine.until(1.5)
        assert [each.of for each in engine.vcenter.of("get")] == looked_at


async def test_requests_that_fail_at_once_leave_the_loop_its_turns() -> None:
    turn = 0
    by_turn: Counter[int] = Counter()

    async def count_turns() -> None:
        nonlocal turn
        while by_turn.total() < 40:
            turn += 1
            await asyncio.sleep(0)

    def reply(sent: Sent) -> Reply:
        by_turn[turn] += 1
        return Reply(Outcome.FAILED, took=None)

    async with scripted(RenewalPolicy(follow_ups=(), max_in_flight=2)) as engine:
        engine.vcenter.reply = reply
        for number in range(40):
            engine.hold(str(number))
        await count_turns()
    assert max(by_turn.values()) <= 2


async def test_the_end_of_a_session_is_looked_into_when_there_is_a_worker_for_it() -> None:
    def reply(sent: Sent) -> Reply:
        if sent.what == "get" and sent.of == "ended":
            done = len(engine.vcenter.of("get", key=ended)) > 1
            return Reply(value=SessionInfo("ended", "DONE" if done else "ACTIVE", "item-1", "1"))
        if sent.what == "keep_alive" and sent.of == "ended" and sent.at > 1:
            return Reply(Outcome.NOT_ALLOWED)
        usual = as_usual(sent)
        return Reply(value=usual.value, took=6.3) if sent.what == "get" else usual

    async with scripted(RenewalPolicy(follow_ups=(), max_in_flight=2)) as engine:
        ended = engine.key("ended")
        engine.vcenter.reply = reply
        engine.hold("ended")
        await engine.until(2)
        engine.hold("looked-at")
        await engine.until(3)
        await engine.keeper.renew_now(ended)
        await engine.until(5)
        assert engine.find(ended).ending is not None
        started = [each.vcenter for each in engine.told.of(events.AttemptStarted)]
        assert started == [NAME] * len(started)
        await engine.until(10)
        assert engine.find(ended).state is State.DONE
        # Asked for every half second, until the other look was over at 8.3.
        assert [each.at for each in engine.vcenter.of("item")][-1] == 8.5


# -- what is said and shown


async def test_an_attempt_is_told_with_how_late_it_is() -> None:
    def reply(sent: Sent) -> Reply:
        return Reply(value=as_usual(sent).value, took=4.0 if sent.of == "first" else 0.0)

    async with scripted(RenewalPolicy(follow_ups=(), max_in_flight=1)) as engine:
        engine.vcenter.reply = reply
        engine.hold("first")
        engine.hold("second")
        await engine.until(20)
        started = engine.told.of(events.AttemptStarted)
        assert [each.vcenter for each in started] == [NAME, NAME]
        # The second one waited for the renewal of the first, and for one look at it.
        assert [each.lag for each in started] == pytest.approx([0.0, 8.0])
        answered = engine.told.of(events.KeepAliveAnswered)
        assert [each.seconds for each in answered] == pytest.approx([4.0, 0.0])


async def test_the_view_says_how_things_stand() -> None:
    async with scripted(RenewalPolicy(follow_ups=(), max_in_flight=4)) as engine:
        idle = engine.keeper.view()
        assert (idle.name, idle.up, idle.in_flight, idle.utilization) == (NAME, True, 0, 0.0)
        assert (idle.down_since, idle.outcome, idle.next_due) == (None, Outcome.OK, None)
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=9.0)
        engine.hold("a")
        await engine.until(5)
        busy = engine.keeper.view()
        assert (busy.in_flight, busy.next_due) == (1, engine.clock.boot())
        assert 0 < busy.utilization < 0.25
        await engine.until(50)
        waiting = engine.keeper.view()
        assert waiting.in_flight == 0
        assert waiting.next_due == pytest.approx(BOOT + 105.0)
        assert 0 < waiting.utilization < busy.utilization + 0.1


async def test_the_view_says_what_is_due_and_cannot_be_taken_up() -> None:
    async with scripted(MINIMAL) as engine:
        await go_down(engine)
        engine.hold("late")
        await engine.until(0.5)
        view = engine.keeper.view()
        assert (view.up, view.in_flight) == (False, 0)
        assert (view.down_since, view.outcome) == (BOOT, Outcome.UNREACHABLE)
        assert view.next_due == engine.clock.boot()


async def go_down(engine: Scripted) -> None:
    """Let the vCenter be away, from now on."""
    engine.vcenter.reply = lambda sent: Reply(Outcome.UNREACHABLE, detail="refused")
    for number in range(3):
        engine.hold(f"down-{number}")
    await asyncio.sleep(0.1)
    assert not engine.keeper.view().up


# -- the end


async def test_at_the_end_nothing_but_renewals_is_sent() -> None:
    async with scripted() as engine:
        key = engine.hold("a")
        await engine.until(100)
        before = len(engine.vcenter.sent)
        await engine.keeper.final_renewal()
        assert [(each.what, each.of) for each in engine.vcenter.sent[before:]] == [
            ("keep_alive", key.id)
        ]


async def test_at_the_end_whose_slack_is_short_is_renewed_and_no_other() -> None:
    async with scripted(MINIMAL) as engine:
        engine.hold("old")
        await engine.until(20)
        engine.hold("young", owner=LINE)
        await engine.until(90)
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=3.0)
        await engine.keeper.final_renewal()
        # Each had 300 seconds: of one 210 are left, of the other 230.
        assert [(each.at, each.of) for each in engine.vcenter.of("keep_alive")] == [
            (0.0, "old"),
            (20.0, "young"),
            (90.0, "old"),
        ]
        assert engine.now() == 93.0


async def test_at_the_end_what_is_on_its_way_is_waited_for() -> None:
    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=3.0)
        engine.hold("a")
        await engine.until(1)
        await engine.keeper.final_renewal()
        assert engine.now() == 3.0
        assert len(engine.told.of(events.Renewed)) == 1
