"""Short helpers to drive a session of the pure core step by step."""

from __future__ import annotations

from dataclasses import replace

from keepalived.lease import machine
from keepalived.lease import session as core
from keepalived.lease.answers import Answer, FileInfo, Outcome, SessionInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.progress import Progress
from keepalived.lease.session import RequestKind, Session

KEY = SessionKey("lab", Kind.UPDATE, "session-1")
OWNER = Owner(OwnerKind.FILE, "sessions.yaml")
BEGUN_AT = 1000.0
HOUR = 3600.0

DISCOVERED = Hold(0, Owner(OwnerKind.DISCOVERY), BEGUN_AT, BEGUN_AT + 24 * HOUR)
"""A hold under the stall guard."""


def hold(percent: int | None = None, *, uid: int = 0, until: float | None = None) -> Hold:
    """Return a hold of the user `uid`."""
    return Hold(uid, OWNER, since=BEGUN_AT, until=until, progress=Progress(percent))


def begun(lifetime: float = 300.0, percent: int | None = None) -> Session:
    """Return a new session with one hold."""
    return core.new_session(KEY, lifetime, hold(percent), now=BEGUN_AT)


def info(
    state: str = "ACTIVE",
    *,
    left: float | None = None,
    version: str | None = None,
    progress: int | None = None,
    error: str | None = None,
) -> SessionInfo:
    """Return the result of `get`; with a content version it names the item."""
    item_id = None if version is None else "item-1"
    return SessionInfo(KEY.id, state, item_id, version, progress, left, error)


def answered(
    session: Session,
    outcome: Outcome = Outcome.OK,
    value: object = None,
    *,
    at: float | None = None,
    took: float = 0.0,
    u: float = 0.5,
    follow_ups: tuple[RequestKind, ...] = (),
    retry_after: float | None = None,
) -> core.Step:
    """Send the session's next request at the time `at` (by default when due), and answer it."""
    sent = session.due if at is None else at
    request = machine.next_request(session, sent)
    answer = Answer(outcome, sent, sent + took, value, "words", retry_after=retry_after)
    return machine.step(session, request, answer, sent + took, u, follow_ups)


def renewed(session: Session, times: int = 1) -> Session:
    """Renew a session `times` times, without learning anything from reads in between."""
    for _ in range(times):
        session, _ = answered(session)
        while session.next_kind is not RequestKind.KEEP_ALIVE:
            session, _ = answered(session, Outcome.FAILED)
    return session


def settled_in(lifetime: float = 300.0) -> Session:
    """Return a session that was renewed until its first reads were done."""
    return renewed(begun(lifetime), times=4)


def discovered(hours: float = 24) -> Session:
    """Return a session whose only hold is under the stall guard and ends after `hours`."""
    return settled_in()._replace(holds=(replace(DISCOVERED, until=BEGUN_AT + hours * HOUR),))


def looked(session: Session, *files: FileInfo, at: float) -> core.Step:
    """Renew a session at the time `at`, and answer the read of its files with `files`."""
    session = session._replace(due=at)
    session, _ = answered(session, at=at, follow_ups=(RequestKind.FILES,))
    assert session.next_kind is RequestKind.FILES
    return answered(session, value=files, at=at, follow_ups=(RequestKind.FILES,))
