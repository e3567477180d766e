"""The state of one session, and the operations on its holds.

`machine` chooses its requests and applies the answers. Functions return a new `Session`, and the
events if there may be any.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum, auto
from typing import NamedTuple

from keepalived.lease import holds as hold_rules
from keepalived.lease import timing
from keepalived.lease.answers import FileInfo, ItemInfo, Outcome
from keepalived.lease.endings import Ending, Target
from keepalived.lease.events import Event, SessionEnd
from keepalived.lease.holds import Hold, Holds, LentToken, Owner, OwnerKind
from keepalived.lease.model import SessionKey, State
from keepalived.lease.recent import outcomes_in


class RequestKind(StrEnum):
    """The kind of a request to the vCenter."""

    KEEP_ALIVE = auto()
    GET = auto()
    FILES = auto()
    ITEM = auto()


class Denial(NamedTuple):
    """The outcome of a request that was sent with a lent token."""

    token: LentToken
    outcome: Outcome


class Expiry(NamedTuple):
    """An `expiration_time`, by the server's clock, and when the session was renewed before it."""

    at: float
    renewed_at: float


class Session(NamedTuple):
    """The state of one session: everything that decisions about it depend on.

    Times are seconds on the boot-time clock. `needs_confirmation` means that the answer to a
    keep-alive must be explained by a `get`; `omit_progress`, that the next keep-alive reports no
    progress, because the server refused the last value. `ending` is set as soon as the end is
    known; the state becomes final once the library item has been read, which has been attempted
    since `settling_since`, with `unsettled` answers that did not show the item. `recent` is
    `outcomes`, packed. `moved_at` is when the transfer last moved, None if it never did (see
    `stalls`); `pulling_since` is when the server began to pull without receiving a byte; `stalled`
    means that either was long ago. `denied` are the outcomes of the current request that may
    concern the credentials alone. `expiry` is the last `expiration_time` read; `without_effect`
    means that renewals do not move it.
    """

    key: SessionKey
    configured_lifetime: float
    lifetime: float
    since: float
    due: float
    holds: Holds = ()
    state: State = State.PENDING
    next_kind: RequestKind = RequestKind.KEEP_ALIVE
    needs_confirmation: bool = False
    omit_progress: bool = False
    renewed_at: float | None = None
    renewals: int = 0
    tries: int = 0
    acknowledged: int | None = None
    target: Target | None = None
    item: ItemInfo | None = None
    files: tuple[FileInfo, ...] = ()
    ending: Ending | None = None
    settling_since: float | None = None
    unsettled: int = 0
    last_error: str = ""
    recent: bytes = b""
    moved_at: float | None = None
    pulling_since: float | None = None
    stalled: bool = False
    denied: tuple[Denial, ...] = ()
    expiry: Expiry | None = None
    without_effect: bool = False

    @property
    def deadline(self) -> float | None:
        """When the session may expire; None if it was never renewed or its end is known."""
        if self.renewed_at is None or self.ending is not None:
            return None
        return self.renewed_at + self.lifetime

    @property
    def outcomes(self) -> tuple[tuple[float, Outcome], ...]:
        """The last keep-alives' outcomes with the times of their answers, newest last."""
        return outcomes_in(self.recent)

    def slack(self, now: float) -> float | None:
        """Seconds until the deadline, negative when overdue; None where there is no deadline."""
        deadline = self.deadline
        return None if deadline is None else deadline - now

    @property
    def transferred(self) -> int:
        """How many bytes of the files the server has received, as far as it reports that."""
        return sum(file.bytes_transferred for file in self.files)

    @property
    def still_since(self) -> float | None:
        """When a stalled transfer last moved; None if it is not stalled."""
        times = [each for each in (self.moved_at, self.pulling_since) if each is not None]
        return min(times) if self.stalled and times else None

    def is_due(self, now: float) -> bool:
        """Whether a request is to be sent now."""
        return not self.state.is_final and self.due - now <= timing.DUE_TOLERANCE


Step = tuple[Session, tuple[Event, ...]]


def at_risk_among(sessions: Iterable[Session], now: float) -> list[Session]:
    """Return the sessions at risk, the overdue included (see `timing.is_at_risk`).

    The rule is inlined: for 100,000 sessions, function calls would take most of the time.
    """
    share = timing.AT_RISK_SHARE
    return [
        session
        for session in sessions
        if (renewed_at := session.renewed_at) is not None
        and renewed_at + session.lifetime - now < share * session.lifetime
        and session.ending is None
    ]


def new_session(key: SessionKey, configured_lifetime: float, hold: Hold, now: float) -> Session:
    """Return a new session. Its first renewal is due at once."""
    return Session(
        key=key,
        configured_lifetime=configured_lifetime,
        lifetime=configured_lifetime,
        since=now,
        due=now,
        holds=(hold,),
    )


def take_hold(session: Session, hold: Hold) -> Session:
    """Add a hold, or replace the same holder's earlier one.

    Raises ValueError if the session has ended: create a new one instead.
    """
    if session.state.is_final:
        raise ValueError(f"{session.key} has ended: it cannot be held")
    return session._replace(holds=hold_rules.with_hold(session.holds, hold))


def release_hold(session: Session, uid: int, owner: Owner, now: float) -> Step:
    """Release a holder's hold; releasing the last one releases the session."""
    left = hold_rules.without_hold(session.holds, uid, owner)
    return with_holds(session, left, "its last hold was released", now)


LINE_IS_OVER = "the max_lifetime of the line that named it is over"
"""The reason for releasing a session that a file may still name. Stored, so never change it."""


def expire_holds(session: Session, now: float) -> Step:
    """Release the holds whose time is over."""
    left = hold_rules.unexpired(session.holds, now)
    over = [hold.owner.kind for hold in session.holds if hold not in left]
    reason = LINE_IS_OVER if OwnerKind.FILE in over else "its last hold reached its time limit"
    return with_holds(session, left, reason, now)


def with_holds(session: Session, left: Holds, reason: str, now: float) -> Step:
    """Replace the holds by `left`; if it is empty, release the session for `reason`."""
    session = session._replace(holds=left)
    # An ending that is already known is reported, even if no hold is left.
    if left or session.state.is_final or session.ending is not None:
        return session, ()
    return finish(session, Ending(State.RELEASED, reason), now)


def make_due(session: Session, now: float) -> Session:
    """Make the session due now, unless it is due earlier."""
    return session if session.due <= now else session._replace(due=now)


def reconfigure(session: Session, configured_lifetime: float) -> Session:
    """Apply another configured lifetime; a learned lifetime stays in effect within its bounds.

    The learned one is kept because sessions may be read rarely: until the next reading, a
    configured lifetime that is too long would let the session expire.
    """
    if configured_lifetime == session.configured_lifetime:
        return session
    has_learned = session.lifetime < session.configured_lifetime
    reading = session.lifetime if has_learned else configured_lifetime
    changed = session._replace(
        configured_lifetime=configured_lifetime,
        lifetime=timing.bounded_lifetime(reading, configured_lifetime),
    )
    if changed.deadline is None:
        return changed
    return make_due(changed, changed.deadline - changed.lifetime / 2)


def finish(session: Session, ending: Ending, now: float) -> Step:
    """End a session with `ending`, and drop its holds."""
    ended = session._replace(state=ending.state, ending=ending, holds=(), needs_confirmation=False)
    event = SessionEnd(
        key=session.key,
        state=ending.state,
        reason=ending.reason,
        error_message=ending.error_message,
        held_seconds=now - session.since,
        keep_alives=session.renewals,
        progress=session.acknowledged,
        library=session.item.library if session.item else None,
        item=session.item.name if session.item else None,
        content_moved=ending.content_moved,
    )
    return ended, (event,)
