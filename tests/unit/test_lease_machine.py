"""Random histories of a session: any answers, changing holds, jumping clocks.

The test plays the keeper (one request at a time, holds that change while it is in flight, sessions
that are restarted) against a server that gives any answer, and checks the core against its own
record.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from keepalived.lease import events, machine, timing
from keepalived.lease import session as core
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome, SessionInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.lending import SessionRequest
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import Progress, highest
from keepalived.lease.session import RequestKind, Session
from tests.support.examples import examples

MOST_IMMEDIATE_REQUESTS = 5
"""A renewal whose progress is refused, the same without, the session, its files, its item."""
ROUNDING = 1e-6
HOUR = 3600.0


def mostly(plausible: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Draw what is plausible, and now and then nothing."""
    return st.sampled_from([plausible] * 7 + [st.none()]).flatmap(lambda drawn: drawn)


owners = st.sampled_from(
    [Owner(OwnerKind.FILE, "a.yaml"), Owner(OwnerKind.PROCESS, "1"), Owner(OwnerKind.NONE)]
)
percents = st.none() | st.integers(0, 100)
shares = st.floats(0.0, 1.0, exclude_max=True)
lifetimes = st.floats(1.0, 86400.0) | st.sampled_from([1.0, 10.0, 300.0])
# In lifetimes: mostly nothing, sometimes past every deadline.
whiles = st.sampled_from([0.0] * 8 + [0.01, 0.1, 0.4, 1.0, 3.0])
WIDE = [outcome for outcome in Outcome if outcome.is_vcenter_failure]
# What the server is like for a while: without moods no session would get far enough to be lost.
moods = st.sampled_from(
    [
        st.just(Outcome.OK),
        st.just(Outcome.NOT_FOUND),
        st.sampled_from([Outcome.NOT_ALLOWED, Outcome.OK]),
        st.sampled_from(WIDE),
        st.sampled_from([Outcome.INVALID_ARGUMENT, Outcome.OK]),
        st.sampled_from(Outcome),
    ]
)
follow_ups = st.sampled_from(
    [(), (RequestKind.GET,), (RequestKind.FILES,), (RequestKind.GET, RequestKind.FILES)]
)
words = st.sampled_from(["ACTIVE"] * 10 + ["DONE", "ERROR", "CANCELED", "", "SOMETHING_NEW"])
versions = st.sampled_from(["1", "2", "9", "10", "x"])
session_infos = st.builds(
    SessionInfo,
    id=st.just("session-1"),
    state=words,
    item_id=st.sampled_from(["item-1", "item-1", "item-1", None]),
    content_version=versions,
    client_progress=percents,
    lifetime_left=st.none() | st.floats(-1e9, 1e9) | st.floats(1.0, 300.0),
    error_message=st.none() | st.just("no space left"),
)
file_infos = st.builds(
    FileInfo,
    name=st.sampled_from(["a", "b"]),
    source_type=st.just("PUSH"),
    status=st.sampled_from(["TRANSFERRING", "ERROR"]),
)
VALUES: dict[RequestKind, st.SearchStrategy[object]] = {
    RequestKind.KEEP_ALIVE: st.none(),
    RequestKind.GET: mostly(session_infos),
    RequestKind.FILES: mostly(st.lists(file_infos, max_size=3).map(tuple)),
    RequestKind.ITEM: mostly(st.builds(ItemInfo, st.just("item-1"), st.just("debian"), versions)),
}


class Lives(RuleBasedStateMachine):
    """One session key, through as many lives as it is held anew."""

    @initialize(
        lifetime=lifetimes,
        kind=st.sampled_from([Kind.UPDATE, Kind.UPDATE, Kind.DOWNLOAD]),
        owner=owners,
        percent=percents,
    )
    def begin(self, lifetime: float, kind: Kind, owner: Owner, percent: int | None) -> None:
        self.now = 1000.0
        self.key = SessionKey("lab", kind, "session-1")
        self.lifetime = lifetime
        self.in_flight: tuple[SessionRequest, float] | None = None
        self._begin(Hold(0, owner, self.now, None, Progress(percent)))

    def _begin(self, hold: Hold) -> None:
        self.session = core.new_session(self.key, self.lifetime, hold, self.now)
        assert self.session.state is State.PENDING
        assert self.session.is_due(self.now)
        self.holds = {(hold.uid, hold.owner): hold.until}
        self.renewals: list[float] = []
        self.told: str | None = None
        self.gone_at: float | None = None
        self.was_extended = True
        self.deadline_in_doubt: float | None = None
        self.version: str | None = None
        self.moved_to: str | None = None
        self.acknowledged: int | None = None
        self.has_refused = False
        self.ends: list[State] = []
        self.requests_at_once = 0
        self.sent_last = self.now

    # -- what the keeper does

    @precondition(lambda self: self.in_flight is None and not self.session.state.is_final)
    @rule(late=whiles, timeout=st.none() | st.floats(0.1, 60.0))
    def send_when_due(self, late: float, timeout: float | None) -> None:
        self.now = max(self.now, self.session.due) + late * self.session.lifetime
        assert self.session.is_due(self.now)
        request = machine.next_request(self.session, self.now, timeout)
        self._judge_request(request, timeout)
        self.in_flight = (request, self.now)
        if self.now - self.sent_last > timing.floor(self.session.lifetime):
            self.requests_at_once = 0
        self.sent_last = self.now
        self.requests_at_once += 1
        assert self.requests_at_once <= MOST_IMMEDIATE_REQUESTS

    def _judge_request(self, request: SessionRequest, timeout: float | None) -> None:
        session = self.session
        assert self.holds or request.kind is RequestKind.ITEM, "renewed, though nobody wants it"
        assert session.ending is None or request.kind is RequestKind.ITEM, (
            "renewed, though it has ended"
        )
        assert timeout is None or request.timeout == timeout
        assert request.timeout >= min(timing.floor(session.lifetime), timeout or 1.0)
        assert (request.item_id is not None) is (request.kind is RequestKind.ITEM)
        if request.progress is not None:
            assert request.kind is RequestKind.KEEP_ALIVE
            assert self.acknowledged is None or request.progress > self.acknowledged
            assert not self.has_refused, "progress again, right after it was refused"

    @precondition(lambda self: self.in_flight is not None)
    @rule(data=st.data(), mood=moods, took=whiles)
    def answer(self, data: st.DataObject, mood: st.SearchStrategy[Outcome], took: float) -> None:
        self._answer(data, data.draw(mood), took)

    @precondition(lambda self: self.in_flight is None and not self.session.state.is_final)
    @rule(data=st.data(), mood=moods, late=whiles, count=st.integers(1, 20))
    def carry_on(
        self, data: st.DataObject, mood: st.SearchStrategy[Outcome], late: float, count: int
    ) -> None:
        """Send and answer some requests, with nothing in between."""
        for number in range(count):
            if not self.session.state.is_final:
                self.send_when_due(late if number == 0 else 0.0, timeout=None)
                self._answer(data, data.draw(mood), took=0.0)

    def _answer(self, data: st.DataObject, outcome: Outcome, took: float) -> None:
        assert self.in_flight is not None
        request, sent_at = self.in_flight
        self.in_flight = None
        value = data.draw(VALUES[request.kind]) if outcome is Outcome.OK else None
        retry_after = data.draw(st.none() | st.floats(0.0, 1e5))
        received_at = max(self.now, sent_at + took * request.timeout)
        self.now = received_at + data.draw(st.sampled_from([0.0, 0.0, 0.5]))
        answer = Answer(outcome, sent_at, received_at, value, "words", retry_after=retry_after)
        before = self.session
        self.session, happened = machine.step(
            before, request, answer, self.now, data.draw(shares), data.draw(follow_ups)
        )
        if before.state.is_final or (
            request.kind is not RequestKind.KEEP_ALIVE and before.next_kind is not request.kind
        ):
            assert (self.session, happened) == (before, ()), "an answer to no current request"
            return
        self._record(before, request, answer)
        self._judge_events(answer, happened)
        self._judge_delay()

    def _record(self, before: Session, request: SessionRequest, answer: Answer[object]) -> None:
        """Keep the machine's own account of what the server has said."""
        outcome, value = answer.outcome, answer.value
        if request.kind is RequestKind.KEEP_ALIVE:
            self.has_refused = outcome is Outcome.INVALID_ARGUMENT and (
                request.progress is not None or self.has_refused
            )
            if outcome is Outcome.OK:
                self.renewals.append(answer.sent_at)
            if outcome in (Outcome.OK, Outcome.INVALID_ARGUMENT):
                self.acknowledged = highest(self.acknowledged, request.progress)
        if isinstance(value, SessionInfo):
            self.told = value.state
            self.acknowledged = highest(self.acknowledged, value.client_progress)
            if value.state == "ACTIVE" and self.version is None and value.item_id is not None:
                self.version = value.content_version
        if (
            request.kind is RequestKind.GET
            and outcome is Outcome.NOT_FOUND
            and (before.needs_confirmation or before.without_effect)
        ):
            self.gone_at, self.deadline_in_doubt = answer.received_at, before.deadline
            self.was_extended = not before.without_effect
        if isinstance(value, ItemInfo):
            self.moved_to = value.content_version

    def _judge_events(self, answer: Answer[object], happened: tuple[events.Event, ...]) -> None:
        self._note_ends(happened)
        for event in happened:
            if isinstance(event, events.Renewed):
                assert answer.outcome is Outcome.OK
                assert event.first is (len(self.renewals) == 1)
            if isinstance(event, events.RenewalFailed):
                assert event.retry_in == pytest.approx(self.session.due - self.now)
        if answer.outcome.is_vcenter_failure and self.ends:
            # What is known is reported after an hour, whether its item can be read or not.
            since = self.session.settling_since
            assert since is not None, "ended by a vCenter that cannot be reached"
            assert self.now - since >= HOUR, "ended by a vCenter that cannot be reached for a while"

    def _judge_delay(self) -> None:
        """Either the next request follows at once, or the delay is no less than the floor."""
        session = self.session
        if session.state.is_final or session.due == self.now:
            return
        self.requests_at_once = 0
        assert session.due - self.now >= timing.floor(session.lifetime) - ROUNDING

    def _note_ends(self, happened: tuple[events.Event, ...]) -> None:
        for event in happened:
            if isinstance(event, events.SessionEnd):
                assert not self.ends, "ended twice"
                assert self.session.ending is not None
                assert event.state == self.session.state == self.session.ending.state
                assert event.reason == self.session.ending.reason
                assert event.held_seconds == self.now - self.session.since
                self.ends.append(event.state)
                self._judge_end(event.state)

    def _judge_end(self, state: State) -> None:
        """The evidence must be there for what a session is said to have ended as."""
        if state is State.RELEASED:
            assert not self.holds
        elif state is State.DONE:
            has_moved = self.moved_to is not None and self.moved_to != self.version
            has_arrived = has_moved or self._is_fetched()
            assert self.told == "DONE" or (self.gone_at is not None and has_arrived)
        elif state in (State.ERROR, State.CANCELED):
            assert self.told == state.value
        elif state is State.NOT_FOUND:
            assert self.gone_at is not None
            assert not self.renewals
        else:
            assert self.gone_at is not None
            assert self.deadline_in_doubt is not None
            has_expired = self.gone_at >= self.deadline_in_doubt or not self.was_extended
            assert state is (State.EXPIRED if has_expired else State.REMOVED)

    def _is_fetched(self) -> bool:
        """Whether it was a download that was gone in time: its client had deleted it."""
        gone, deadline = self.gone_at, self.deadline_in_doubt
        in_time = gone is not None and deadline is not None and gone < deadline
        return in_time and self.session.key.kind is Kind.DOWNLOAD

    # -- what people do

    @precondition(lambda self: not self.session.state.is_final)
    @rule(share=whiles)
    def wait(self, share: float) -> None:
        self.now += share * self.lifetime

    @precondition(lambda self: not self.session.state.is_final)
    @rule(uid=st.integers(0, 1), owner=owners, percent=percents, left=st.none() | whiles)
    def take_hold(self, uid: int, owner: Owner, percent: int | None, left: float | None) -> None:
        until = None if left is None else self.now + left * self.lifetime
        hold = Hold(uid, owner, self.now, until, Progress(percent))
        self.session = core.take_hold(self.session, hold)
        self.holds[uid, owner] = until

    @precondition(lambda self: not self.session.state.is_final)
    @rule(uid=st.integers(0, 3), owner=owners)
    def release_hold(self, uid: int, owner: Owner) -> None:
        self._release(uid, owner)

    @precondition(lambda self: self.in_flight is not None and not self.session.state.is_final)
    @rule(owner=owners, percent=percents)
    def release_and_hold_anew(self, owner: Owner, percent: int | None) -> None:
        for party in tuple(self.holds):
            self._release(*party)
        if self.session.state.is_final:
            self.hold_anew(owner, percent)

    def _release(self, uid: int, owner: Owner) -> None:
        was_known = self.session.ending is not None
        self.holds.pop((uid, owner), None)
        self.session, happened = core.release_hold(self.session, uid, owner, self.now)
        assert not (was_known and happened), "released, though it has ended otherwise"
        self._note_ends(happened)

    @precondition(lambda self: not self.session.state.is_final)
    @rule()
    def expire_holds(self) -> None:
        self.holds = {
            party: until for party, until in self.holds.items() if until is None or until > self.now
        }
        self.session, happened = core.expire_holds(self.session, self.now)
        self._note_ends(happened)

    @precondition(lambda self: not self.session.state.is_final)
    @rule()
    def make_due(self) -> None:
        due = self.session.due
        self.session = core.make_due(self.session, self.now)
        assert self.session.due == min(due, self.now)
        self.requests_at_once = 0

    @precondition(lambda self: not self.session.state.is_final)
    @rule(lifetime=lifetimes)
    def reconfigure(self, lifetime: float) -> None:
        due = self.session.due
        self.session = core.reconfigure(self.session, lifetime)
        self.lifetime = lifetime
        assert self.session.configured_lifetime == lifetime
        assert self.session.due <= due
        self.requests_at_once = 0

    @precondition(lambda self: self.session.state.is_final)
    @rule(owner=owners, percent=percents)
    def hold_anew(self, owner: Owner, percent: int | None) -> None:
        self._begin(Hold(0, owner, self.now, None, Progress(percent)))

    # -- what always holds

    @invariant()
    def an_ended_session_rests(self) -> None:
        session = self.session
        assert session.state.is_final is bool(self.ends)
        if not session.state.is_final:
            return
        assert self.ends == [session.state]
        assert session.holds == ()
        assert not session.is_due(1e12)
        assert not core.make_due(session, self.now).is_due(self.now)
        assert core.expire_holds(session, 1e12) == (session, ())
        assert core.release_hold(session, 0, Owner(OwnerKind.NONE), 1e12) == (session, ())
        with pytest.raises(ValueError, match="has ended"):
            machine.next_request(session, self.now)
        with pytest.raises(ValueError, match="has ended"):
            core.take_hold(session, Hold(0, Owner(OwnerKind.NONE), self.now, None))

    @invariant()
    def a_session_lives_while_somebody_holds_it(self) -> None:
        session = self.session
        if session.state.is_final:
            return
        assert {(hold.uid, hold.owner): hold.until for hold in session.holds} == self.holds
        assert self.holds or (session.ending is not None and session.next_kind is RequestKind.ITEM)

    @invariant()
    def the_deadline_counts_from_the_last_renewal_that_was_sent(self) -> None:
        session = self.session
        assert session.renewed_at == (self.renewals[-1] if self.renewals else None)
        assert session.renewals == len(self.renewals)
        if session.ending is None:
            assert session.state is (State.ACTIVE if self.renewals else State.PENDING)
        if session.ending is not None or session.renewed_at is None:
            assert session.deadline is None
        else:
            assert session.deadline == session.renewed_at + session.lifetime

    @invariant()
    def the_next_attempt_comes_before_the_deadline_while_one_can(self) -> None:
        deadline, slack = self.session.deadline, self.session.slack(self.now)
        if deadline is not None and slack is not None:
            is_possible = slack > timing.floor(self.session.lifetime) + ROUNDING
            assert self.session.due < deadline or not is_possible

    @invariant()
    def the_lifetime_is_within_what_is_configured(self) -> None:
        session = self.session
        assert min(5.0, session.configured_lifetime) <= session.lifetime + ROUNDING
        assert session.lifetime <= session.configured_lifetime

    @invariant()
    def doubt_asks_for_the_session_and_a_known_end_for_its_item(self) -> None:
        session = self.session
        assert not session.needs_confirmation or session.next_kind is RequestKind.GET
        if session.ending is not None and not session.state.is_final:
            assert session.next_kind is RequestKind.ITEM
            assert session.key.kind is Kind.UPDATE
        assert session.acknowledged == self.acknowledged


TestLives = pytest.mark.timeout(900)(Lives.TestCase)  # shrinking a failure takes up to 300 s
TestLives.settings = settings(max_examples=examples(300), stateful_step_count=40)
