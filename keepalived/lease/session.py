"""The session state machine: what to ask next, and what an answer means.

A session goes in rounds. A round starts with a keep-alive when the session falls due; while the
answer leaves something to ask (what became of the session, how its files stand), `due` stays at
the present and the next request follows at once. A round ends with `due` in the future or with a
final state. Every function returns a new `Session` and the effects that somebody has to carry out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from keepalived.lease import holds as hold_rules
from keepalived.lease import timing
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome, SessionInfo
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
class Target:
    """The library item that a session fills, and its content version when the session began."""

    item_id: str
    content_version: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended, or, while it is being settled, what its end looks like so far."""

    state: State
    reason: str
    error_message: str | None = None
    content_moved: bool | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One session and everything that decisions about it depend on.

    Times are seconds on the boot-time clock. `doubted` means that a keep-alive was answered in a
    way that only `get` can explain. `ending` is set from the moment the end is known: before the
    state is final, it waits for one look at the library item. `outcomes` are the last keep-alives'
    outcomes with the time of the answer, newest last.
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
    renewed_at: float | None = None
    renewals: int = 0
    tries: int = 0
    acknowledged: int | None = None
    target: Target | None = None
    item: ItemInfo | None = None
    files: tuple[FileInfo, ...] = ()
    ending: Ending | None = None
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


@dataclass(frozen=True, slots=True)
class Renewed:
    """A keep-alive succeeded with `slack` seconds left."""

    first: bool
    slack: float | None
    progress: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed; the next one follows in `retry_in` seconds."""

    outcome: Outcome
    detail: str
    retry_in: float
    slack: float | None


@dataclass(frozen=True, slots=True)
class LifetimeLearned:
    """The server's answers say that the session lives for `after` seconds."""

    before: float
    after: float


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file of the session went into ERROR."""

    file: FileInfo


@dataclass(frozen=True, slots=True)
class Ended:
    """The session reached a final state."""

    ending: Ending


Effect = Renewed | Failed | LifetimeLearned | FileFailed | Ended
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
    """Add a hold, or update the one its party has already."""
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
    session = session if left is session.holds else replace(session, holds=left)
    # An end that is known already is reported as what it is, whoever still wants the session.
    if left or session.state.is_final or session.ending is not None:
        return session, ()
    return _finish(session, Ending(State.RELEASED, reason))


def hasten(session: Session, now: float) -> Session:
    """Make the session due now, if it is not due earlier."""
    return session if session.due <= now else replace(session, due=now)


def reconfigure(session: Session, configured_lifetime: float) -> Session:
    """Apply another configured lifetime; what was learned is learned again at the next reading."""
    if configured_lifetime == session.configured_lifetime:
        return session
    due = session.due
    if session.renewed_at is not None and session.tries == 0:
        due = min(due, session.renewed_at + configured_lifetime / 2)
    return replace(
        session,
        configured_lifetime=configured_lifetime,
        lifetime=configured_lifetime,
        due=due,
    )


def next_request(session: Session, now: float, configured_timeout: float | None = None) -> Request:
    """Return what to send for a session that is due. Raises ValueError once it has ended."""
    if session.state.is_final:
        raise ValueError(f"{session.key} has ended: nothing may be sent for it")
    timeout = configured_timeout or timing.request_timeout(
        session.tries, session.slack(now), session.lifetime
    )
    if session.ask is Ask.KEEP_ALIVE:
        wanted = hold_rules.client_progress(session.holds)
        return Request(Ask.KEEP_ALIVE, timeout, value_to_send(wanted, session.acknowledged))
    if session.ask is Ask.ITEM and session.target is not None:
        return Request(Ask.ITEM, timeout, item_id=session.target.item_id)
    return Request(session.ask, timeout)


def step(
    session: Session,
    request: Request,
    answer: Answer[object],
    now: float,
    u: float,
    looks: tuple[Ask, ...] = (),
) -> Step:
    """Apply the answer to a request.

    `now` is when the answer is looked at, `u` a random number from [0, 1), and `looks` what is to
    be asked beyond the keep-alive in every round: GET, FILES, both or nothing. An answer that
    arrives after the end changes nothing.
    """
    if session.state.is_final:
        return session, ()
    if request.ask is Ask.KEEP_ALIVE:
        return _keep_alive_answered(session, request, answer, now, u, looks)
    if request.ask is Ask.GET:
        return _get_answered(session, answer, now, u, looks)
    if request.ask is Ask.FILES:
        return _files_answered(session, answer, now, u, looks)
    return _item_answered(session, answer, now, u, looks)


def _keep_alive_answered(
    session: Session,
    request: Request,
    answer: Answer[object],
    now: float,
    u: float,
    looks: tuple[Ask, ...],
) -> Step:
    if session.ending is not None:
        return session, ()
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
            acknowledged=highest(session.acknowledged, request.progress),
            last_error="",
        )
        after, effects = _look_on(renewed, Ask.KEEP_ALIVE, now, u, looks)
        effect = Renewed(session.renewals == 0, slack, request.progress)
        return after, (effect, *effects)
    if outcome is Outcome.INVALID_ARGUMENT and request.progress is not None:
        # The refused value is remembered like an acknowledged one: it would be refused again.
        refused = highest(session.acknowledged, request.progress)
        return replace(session, acknowledged=refused, due=now), ()
    if outcome in (Outcome.NOT_ALLOWED, Outcome.NOT_FOUND):
        return replace(session, ask=Ask.GET, doubted=True, due=now), ()
    return _fail(session, answer, now, u)


def _get_answered(
    session: Session, answer: Answer[object], now: float, u: float, looks: tuple[Ask, ...]
) -> Step:
    info = answer.value
    if answer.outcome is Outcome.OK and isinstance(info, SessionInfo):
        seen, effects = _learn(session, info)
        if info.state in _SERVER_ENDS:
            end, reason = _SERVER_ENDS[info.state]
            return _after(_settle(seen, Ending(end, reason, info.error_message), now), effects)
        if not session.doubted:
            return _after(_look_on(seen, Ask.GET, now, u, looks), effects)
        return _after(_fail(seen, answer, now, u, _CONTRADICTION), effects)
    if not session.doubted:
        # Only a keep-alive that finds the session gone ends it: looking is secondary.
        return _look_on(session, Ask.GET, now, u, () if _unreachable(answer) else looks)
    if answer.outcome is Outcome.NOT_FOUND:
        return _settle(session, _vanished(session, now), now)
    return _fail(session, answer, now, u)


def _files_answered(
    session: Session, answer: Answer[object], now: float, u: float, looks: tuple[Ask, ...]
) -> Step:
    files = answer.value
    effects: tuple[Effect, ...] = ()
    if answer.outcome is Outcome.OK and isinstance(files, tuple):
        failed_before = {file.name for file in session.files if file.status == "ERROR"}
        effects = tuple(
            FileFailed(file)
            for file in files
            if file.status == "ERROR" and file.name not in failed_before
        )
        session = replace(session, files=files)
    return _after(
        _look_on(session, Ask.FILES, now, u, () if _unreachable(answer) else looks), effects
    )


def _item_answered(
    session: Session, answer: Answer[object], now: float, u: float, looks: tuple[Ask, ...]
) -> Step:
    item = answer.value if isinstance(answer.value, ItemInfo) else None
    if item is not None:
        session = replace(session, item=item)
    ending = session.ending
    if ending is None:
        return _look_on(session, Ask.ITEM, now, u, looks)
    if item is not None and session.target is not None:
        moved = _has_moved(session.target.content_version, item.content_version)
        if moved and ending.state in _VANISHED:
            return _finish(session, Ending(State.DONE, "completed and deleted", None, True))
        return _finish(session, replace(ending, content_moved=moved))
    if answer.outcome is Outcome.NOT_FOUND:
        return _finish(session, replace(ending, reason=f"{ending.reason}; its item is gone, too"))
    if not answer.outcome.speaks_of_the_vcenter and session.tries + 1 >= _SETTLE_TRIES:
        return _finish(session, ending)
    after, _ = _fail(session, answer, now, u)
    return replace(after, ask=Ask.ITEM), ()


_SERVER_ENDS = {
    "DONE": (State.DONE, "completed"),
    "ERROR": (State.ERROR, "the server reports an error"),
    "CANCELED": (State.CANCELED, "canceled on the server"),
}
_CONTRADICTION = "keep-alive was refused, though the server says that the session is ACTIVE"
_VANISHED = (State.REMOVED, State.EXPIRED, State.NOT_FOUND)


def _vanished(session: Session, now: float) -> Ending:
    """Say what it means that the server no longer knows a session.

    Uploaders delete their sessions after completing them, and the server does not delete one
    before its lifetime is over: gone before the deadline is somebody's doing.
    """
    deadline = session.deadline
    if deadline is None:
        return Ending(State.NOT_FOUND, "the server does not know this session")
    if now < deadline:
        return Ending(State.REMOVED, "somebody ended and deleted it before its lifetime was over")
    return Ending(State.EXPIRED, "it was gone after its lifetime had passed without a renewal")


def _has_moved(before: str, after: str) -> bool:
    """Whether a content version lies beyond another; versions are decimal numbers in practice."""
    if before.isdecimal() and after.isdecimal():
        return int(after) > int(before)
    return before != after


def _learn(session: Session, info: SessionInfo) -> Step:
    """Take from `get` what it teaches: the lifetime, the item, the progress others reported."""
    effects: tuple[Effect, ...] = ()
    lifetime, target = session.lifetime, session.target
    if info.lifetime_left is not None and info.state == "ACTIVE":
        lifetime = timing.learned_lifetime(info.lifetime_left, session.configured_lifetime)
        # Readings differ by the seconds between renewal and reading: only a real change is news.
        if abs(lifetime - session.lifetime) > 0.1 * session.lifetime:
            effects = (LifetimeLearned(session.lifetime, lifetime),)
    # The version counts as the start only while the session is ACTIVE.
    readable = info.item_id is not None and info.content_version is not None
    if target is None and info.state == "ACTIVE" and readable:
        target = Target(info.item_id or "", info.content_version or "")
    acknowledged = highest(session.acknowledged, info.client_progress)
    return replace(session, lifetime=lifetime, target=target, acknowledged=acknowledged), effects


def _look_on(session: Session, done: Ask, now: float, u: float, looks: tuple[Ask, ...]) -> Step:
    """Ask the next thing of this round, or end the round and schedule the next renewal."""
    looks_left = _LOOK_ORDER[_LOOK_ORDER.index(done) + 1 :]
    early = session.renewals <= _FIRST_LOOKS
    for ask in looks_left:
        if (
            (ask is Ask.ITEM and session.target is not None and session.item is None and early)
            or (ask is Ask.GET and (ask in looks or (session.target is None and early)))
            or (ask is Ask.FILES and ask in looks)
        ):
            return replace(session, ask=ask, doubted=False, due=now), ()
    sent = now if session.renewed_at is None else session.renewed_at
    delay = timing.renewal_delay(session.lifetime, u, first=session.renewals <= 1)
    due = max(sent + delay, now + timing.floor(session.lifetime))
    return replace(session, ask=Ask.KEEP_ALIVE, doubted=False, due=due), ()


_LOOK_ORDER = (Ask.KEEP_ALIVE, Ask.GET, Ask.FILES, Ask.ITEM)


def _settle(session: Session, ending: Ending, now: float) -> Step:
    """Look once at the library item before the end is final, where there is one to look at."""
    if session.target is None or session.key.kind is not Kind.UPDATE:
        return _finish(session, ending)
    return replace(session, ending=ending, ask=Ask.ITEM, doubted=False, tries=0, due=now), ()


def _finish(session: Session, ending: Ending) -> Step:
    ended = replace(session, state=ending.state, ending=ending, holds=(), doubted=False)
    return ended, (Ended(ending),)


def _fail(
    session: Session,
    answer: Answer[object],
    now: float,
    u: float,
    contradiction: str = "",
) -> Step:
    slack = session.slack(now)
    tries = session.tries + 1
    delay = timing.retry_delay(tries, slack, session.lifetime, u)
    delay = timing.asked_delay(delay, answer.retry_after, slack, session.lifetime)
    outcome = Outcome.FAILED if contradiction else answer.outcome
    words = contradiction or answer.detail or outcome.value
    failed = replace(
        session,
        tries=tries,
        ask=Ask.KEEP_ALIVE,
        doubted=False,
        due=now + delay,
        last_error=words,
    )
    return failed, (Failed(outcome, words, delay, slack),)


def _unreachable(answer: Answer[object]) -> bool:
    return answer.outcome.speaks_of_the_vcenter


def _after(result: Step, effects: tuple[Effect, ...]) -> Step:
    session, more = result
    return session, (*effects, *more)
