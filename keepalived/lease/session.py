"""The session state machine: what to ask next, and what an answer means.

A session goes in rounds. A round starts with a keep-alive when the session falls due; while the
answer leaves something to ask (what became of the session, how its files stand), `due` stays at
the present and the next request follows at once. A round ends with `due` in the future or with a
final state. Every function returns a new `Session` and the effects that somebody has to carry out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from keepalived.lease import holds as hold_rules
from keepalived.lease import timing
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome, SessionInfo
from keepalived.lease.effects import Effect as Effect
from keepalived.lease.effects import Ended as Ended
from keepalived.lease.effects import Failed as Failed
from keepalived.lease.effects import FileFailed as FileFailed
from keepalived.lease.effects import LifetimeLearned as LifetimeLearned
from keepalived.lease.effects import Renewed as Renewed
from keepalived.lease.endings import Ending, Target, settled, told, vanished
from keepalived.lease.holds import Hold, Holds, Owner
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import highest, value_to_send

_SETTLE_TRIES = 3
_OUTCOMES_KEPT = 3
_FIRST_LOOKS = 3


class Ask(StrEnum):
    """What a request asks of the vCenter."""

    KEEP_ALIVE = "keep_alive"
    GET = "get"
    FILES = "files"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Request:
    """What to send next. `progress` goes with a keep-alive, `item_id` with a look at the item."""

    ask: Ask
    timeout: float
    progress: int | None = None
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One session and everything that decisions about it depend on.

    Times are seconds on the boot-time clock. `doubted` means that a keep-alive was answered in a
    way that only `get` can explain, `mute` that the next keep-alive says nothing about progress,
    because the server refused what the last one said. `ending` is set from the moment the end is
    known: before the state is final, it waits for one look at the library item; `unsettled` counts
    the answers that told nothing about the item. `outcomes` are the last keep-alives' outcomes
    with the time of the answer, newest last.
    """

    key: SessionKey
    configured_lifetime: float
    lifetime: float
    since: float
    due: float
    holds: Holds = ()
    state: State = State.PENDING
    ask: Ask = Ask.KEEP_ALIVE
    doubted: bool = False
    mute: bool = False
    renewed_at: float | None = None
    renewals: int = 0
    tries: int = 0
    acknowledged: int | None = None
    target: Target | None = None
    item: ItemInfo | None = None
    files: tuple[FileInfo, ...] = ()
    ending: Ending | None = None
    unsettled: int = 0
    last_error: str = ""
    outcomes: tuple[tuple[float, Outcome], ...] = ()

    @property
    def deadline(self) -> float | None:
        """When the session may expire, as far as we know; None when nothing is left to lose."""
        if self.renewed_at is None or self.ending is not None:
            return None
        return self.renewed_at + self.lifetime

    def slack(self, now: float) -> float | None:
        """Seconds until the deadline, negative when overdue; None where there is no deadline."""
        deadline = self.deadline
        return None if deadline is None else deadline - now

    def is_due(self, now: float) -> bool:
        """Whether something is to be sent now."""
        return not self.state.is_final and self.due - now <= timing.DUE_TOLERANCE


Step = tuple[Session, tuple[Effect, ...]]


def begin(key: SessionKey, configured_lifetime: float, hold: Hold, now: float) -> Session:
    """Return a session that nobody held before. Its first renewal is due at once."""
    return Session(
        key=key,
        configured_lifetime=configured_lifetime,
        lifetime=configured_lifetime,
        since=now,
        due=now,
        holds=(hold,),
    )


def take_hold(session: Session, hold: Hold) -> Session:
    """Add a hold, or update the one its party has already.

    Raises ValueError once the session has ended: whoever wants it again begins anew.
    """
    if session.state.is_final:
        raise ValueError(f"{session.key} has ended: it cannot be held")
    return replace(session, holds=hold_rules.taken(session.holds, hold))


def release_hold(session: Session, uid: int, owner: Owner) -> Step:
    """Let a party's hold go; the session is released with its last one."""
    left = hold_rules.let_go(session.holds, uid, owner)
    return _held_by(session, left, "its last hold was let go")


def expire_holds(session: Session, now: float) -> Step:
    """Let go the holds whose time is over."""
    left = hold_rules.unexpired(session.holds, now)
    return _held_by(session, left, "its last hold reached its time limit")


def _held_by(session: Session, left: Holds, reason: str) -> Step:
    session = replace(session, holds=left)
    # An end that is known already is reported as what it is, whoever still wants the session.
    if left or session.state.is_final or session.ending is not None:
        return session, ()
    return _finish(session, Ending(State.RELEASED, reason))


def hasten(session: Session, now: float) -> Session:
    """Make the session due now, if it is not due earlier."""
    return session if session.due <= now else replace(session, due=now)


def reconfigure(session: Session, configured_lifetime: float) -> Session:
    """Apply another configured lifetime, in the bounds of which stands what was learned.

    What the server taught is not forgotten for a new configuration: where it is read rarely, only
    that keeps a session alive whose configured lifetime is too long.
    """
    if configured_lifetime == session.configured_lifetime:
        return session
    has_learned = session.lifetime < session.configured_lifetime
    reading = session.lifetime if has_learned else configured_lifetime
    changed = replace(
        session,
        configured_lifetime=configured_lifetime,
        lifetime=timing.learned_lifetime(reading, configured_lifetime),
    )
    if changed.deadline is None:
        return changed
    return hasten(changed, changed.deadline - changed.lifetime / 2)


def next_request(session: Session, now: float, configured_timeout: float | None = None) -> Request:
    """Return what to send for a session that is due. Raises ValueError once it has ended."""
    if session.state.is_final:
        raise ValueError(f"{session.key} has ended: nothing may be sent for it")
    timeout = configured_timeout or timing.request_timeout(
        session.tries, session.slack(now), session.lifetime
    )
    ask = session.ask
    if session.ending is None and now - session.due > timing.floor(session.lifetime):
        # A round that was broken off (its vCenter went down) begins anew: renewals come first.
        ask = Ask.KEEP_ALIVE
    progress = item_id = None
    if ask is Ask.KEEP_ALIVE and not session.mute:
        wanted = hold_rules.client_progress(session.holds)
        progress = value_to_send(wanted, session.acknowledged)
    if ask is Ask.ITEM and session.target is not None:
        item_id = session.target.item_id
    return Request(ask, timeout, progress, item_id)


class _Event(NamedTuple):
    """An answer to a request, looked at at the time `now`."""

    request: Request
    answer: Answer[object]
    now: float
    u: float
    looks: tuple[Ask, ...] | None


def step(
    session: Session,
    request: Request,
    answer: Answer[object],
    now: float,
    u: float,
    looks: tuple[Ask, ...] | None = (),
) -> Step:
    """Apply the answer to a request.

    `now` is when the answer is looked at, `u` a random number from [0, 1), and `looks` what is to
    be asked beyond the keep-alive in every round: GET, FILES, both or nothing (but for the first
    rounds), or None where there is no time to ask anything. An answer that arrives after the end
    changes nothing, nor does one to a question that the session, begun anew meanwhile, does not
    ask.
    """
    is_renewal = request.ask is Ask.KEEP_ALIVE and session.ending is None
    if session.state.is_final or not (is_renewal or request.ask is session.ask):
        return session, ()
    event = _Event(request, answer, now, u, looks)
    if request.ask is Ask.KEEP_ALIVE:
        return _keep_alive_answered(session, event)
    if request.ask is Ask.GET:
        return _get_answered(session, event)
    if request.ask is Ask.FILES:
        return _files_answered(session, event)
    return _item_answered(session, event)


def _keep_alive_answered(session: Session, event: _Event) -> Step:
    request, answer, now, _, _ = event
    outcome = answer.outcome
    kept = session.outcomes[1 - _OUTCOMES_KEPT :]
    session = replace(session, outcomes=(*kept, (answer.received_at, outcome)))
    if outcome is Outcome.OK:
        slack = session.slack(answer.received_at)
        renewed = replace(
            session,
            state=State.ACTIVE,
            renewed_at=answer.sent_at,
            renewals=session.renewals + 1,
            tries=0,
            mute=False,
            acknowledged=highest(session.acknowledged, request.progress),
            last_error="",
        )
        after, effects = _look_on(renewed, event)
        effect = Renewed(session.renewals == 0, slack, request.progress)
        return after, (effect, *effects)
    if outcome is Outcome.INVALID_ARGUMENT and request.progress is not None:
        # Refused means that the server knows of at least as much, so the value counts as known.
        known = highest(session.acknowledged, request.progress)
        again = replace(session, acknowledged=known, mute=True, due=now)
        return replace(again, ask=Ask.KEEP_ALIVE, doubted=False), ()
    if outcome in (Outcome.NOT_ALLOWED, Outcome.NOT_FOUND):
        return replace(session, ask=Ask.GET, doubted=True, due=now), ()
    return _fail(session, event)


def _get_answered(session: Session, event: _Event) -> Step:
    answer, info = event.answer, event.answer.value
    if answer.outcome is Outcome.OK and isinstance(info, SessionInfo):
        seen, effects = _learn(session, info)
        ending = told(info)
        if ending is not None:
            return _after(_settle(seen, ending, event.now), effects)
        if not session.doubted:
            return _after(_look_on(seen, event), effects)
        words = f"keep-alive was refused, though the server says that the session is {info.state}"
        contradiction = replace(answer, outcome=Outcome.FAILED, detail=words)
        return _after(_fail(seen, event._replace(answer=contradiction)), effects)
    if not session.doubted:
        # Only a keep-alive that finds the session gone ends it: looking is secondary.
        return _looked_in_vain(session, event)
    if answer.outcome is Outcome.NOT_FOUND:
        return _settle(session, vanished(session.deadline, answer.received_at), event.now)
    return _fail(session, event)


def _files_answered(session: Session, event: _Event) -> Step:
    files = event.answer.value
    if event.answer.outcome is not Outcome.OK or not isinstance(files, tuple):
        return _looked_in_vain(session, event)
    failed_before = {file.name for file in session.files if file.status == "ERROR"}
    effects = tuple(
        FileFailed(file)
        for file in files
        if file.status == "ERROR" and file.name not in failed_before
    )
    return _after(_look_on(replace(session, files=files), event), effects)


def _item_answered(session: Session, event: _Event) -> Step:
    outcome, item = event.answer.outcome, event.answer.value
    ending, target = session.ending, session.target
    if isinstance(item, ItemInfo):
        session = replace(session, item=item)
    if ending is None:
        return _rest(session, event), ()
    if isinstance(item, ItemInfo) and target is not None:
        return _finish(session, settled(ending, target, item))
    if outcome is Outcome.NOT_FOUND:
        return _finish(session, replace(ending, reason=f"{ending.reason}; its item is gone, too"))
    # A vCenter that cannot be reached is waited for: whether the content arrived is worth it.
    unsettled = session.unsettled + (not outcome.speaks_of_the_vcenter)
    if unsettled >= _SETTLE_TRIES:
        return _finish(session, ending)
    after, _ = _fail(session, event)
    return replace(after, ask=Ask.ITEM, unsettled=unsettled), ()


def _learn(session: Session, info: SessionInfo) -> Step:
    """Take from `get` what it teaches: the lifetime, the item, the progress others reported."""
    effects: tuple[Effect, ...] = ()
    lifetime, target = session.lifetime, session.target
    # In doubt, no renewal has just gone before: what is left then is not the whole lifetime.
    if info.lifetime_left is not None and info.state == "ACTIVE" and not session.doubted:
        lifetime = timing.learned_lifetime(info.lifetime_left, session.configured_lifetime)
        # Readings differ by the seconds between renewal and reading: only a real change is news.
        if abs(lifetime - session.lifetime) > 0.1 * session.lifetime:
            effects = (LifetimeLearned(session.lifetime, lifetime),)
    # The version counts as the start only while the session is ACTIVE.
    item_id, version = info.item_id, info.content_version
    if target is None and info.state == "ACTIVE" and item_id is not None and version is not None:
        target = Target(item_id, version)
    acknowledged = highest(session.acknowledged, info.client_progress)
    return replace(session, lifetime=lifetime, target=target, acknowledged=acknowledged), effects


def _look_on(session: Session, event: _Event) -> Step:
    """Ask the next thing of this round, or end the round."""
    looks = event.looks
    if looks is None:
        return _rest(session, event), ()
    early = session.renewals <= _FIRST_LOOKS
    wanted = {
        Ask.GET: Ask.GET in looks or (early and session.target is None),
        Ask.FILES: Ask.FILES in looks,
        Ask.ITEM: early and session.target is not None and session.item is None,
    }
    for ask in _ORDER[_ORDER.index(event.request.ask) + 1 :]:
        if wanted[ask]:
            return replace(session, ask=ask, doubted=False, due=event.now), ()
    return _rest(session, event), ()


_ORDER = (Ask.KEEP_ALIVE, Ask.GET, Ask.FILES, Ask.ITEM)


def _looked_in_vain(session: Session, event: _Event) -> Step:
    """Go on with the round, or end it where the vCenter does not answer anyway."""
    if event.answer.outcome.speaks_of_the_vcenter:
        return _rest(session, event), ()
    return _look_on(session, event)


def _rest(session: Session, event: _Event) -> Session:
    """End the round: schedule the next renewal."""
    sent = event.now if session.renewed_at is None else session.renewed_at
    delay = timing.renewal_delay(session.lifetime, event.u, first=session.renewals <= 1)
    due = max(sent + delay, event.now + timing.floor(session.lifetime))
    return replace(session, ask=Ask.KEEP_ALIVE, doubted=False, due=due)


def _settle(session: Session, ending: Ending, now: float) -> Step:
    """Look once at the library item before the end is final, where there is one to look at."""
    if session.target is None or session.key.kind is not Kind.UPDATE:
        return _finish(session, ending)
    return replace(session, ending=ending, ask=Ask.ITEM, doubted=False, tries=0, due=now), ()


def _finish(session: Session, ending: Ending) -> Step:
    ended = replace(session, state=ending.state, ending=ending, holds=(), doubted=False)
    return ended, (Ended(ending),)


def _fail(session: Session, event: _Event) -> Step:
    """End the round: schedule another attempt."""
    answer, now = event.answer, event.now
    slack = session.slack(now)
    tries = session.tries + 1
    delay = timing.retry_delay(tries, slack, session.lifetime, event.u)
    delay = timing.asked_delay(delay, answer.retry_after, slack, session.lifetime)
    words = answer.detail or answer.outcome.value
    failed = replace(session, tries=tries, due=now + delay, last_error=words)
    effect = Failed(answer.outcome, words, delay, slack)
    return replace(failed, ask=Ask.KEEP_ALIVE, doubted=False), (effect,)


def _after(result: Step, effects: tuple[Effect, ...]) -> Step:
    session, more = result
    return session, (*effects, *more)
