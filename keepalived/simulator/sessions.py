"""Update and download sessions: who may do what in which state, and when they expire.

Nothing runs in the background. A session that fell due is brought up to date when somebody looks
at it, with the time at which it really happened.

What counts as activity: creating a session, keeping it alive, adding or removing a file, asking for
validation, completion or a download, and, if so configured, every chunk of a PUT or a GET. Looking
at a session does not extend it, and neither does the server's own work (pulling a file, validating,
preparing).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.catalog import Catalog
from keepalived.simulator.content import Content
from keepalived.simulator.errors import ApiError, ErrorType, invalid, not_allowed, not_found
from keepalived.simulator.resources import (
    DownloadFile,
    Item,
    Session,
    SessionEvent,
    SessionState,
    SourceType,
    TransferStatus,
)

Clock = Callable[[], float]
"""Gives monotonic seconds."""

_END_EVENTS = {
    SessionState.DONE: SessionEvent.COMPLETED,
    SessionState.ERROR: SessionEvent.FAILED,
    SessionState.CANCELED: SessionEvent.CANCELLED,
}


class Chronicle(Protocol):
    """Who writes down what happens to sessions. Times are monotonic seconds."""

    def happened(self, event: SessionEvent, session: Session, at: float) -> None:
        """Note an event in the life of a session."""
        ...

    def active(self, session: Session, at: float) -> None:
        """Note that a session's lifetime was extended."""
        ...


class Sessions:
    """The sessions of one simulated vCenter."""

    def __init__(
        self, catalog: Catalog, clock: Clock, chronicle: Chronicle, behaviour: Behaviour
    ) -> None:
        self._behaviour = behaviour
        self._catalog = catalog
        self._clock = clock
        self._chronicle = chronicle
        self._secret_timeout: float | None = None
        self._sessions: dict[Kind, dict[str, Session]] = {kind: {} for kind in Kind}

    def create(
        self, kind: Kind, item_id: str, creator: str, *, session_id: str | None = None
    ) -> Session:
        """Open a session on an item.

        Raises ApiError: NOT_FOUND without such an item, RESOURCE_BUSY if it has an active update
        session already.
        """
        item = self._catalog.item(item_id)
        if kind is Kind.UPDATE and self._is_busy(item):
            raise ApiError(
                ErrorType.RESOURCE_BUSY,
                f"Library item {item_id} has an active update session already.",
            )
        now = self._clock()
        session = Session(
            id=session_id or f"{uuid.uuid4()}:{uuid.uuid4()}",
            kind=kind,
            item_id=item.id,
            content_version=item.content_version,
            creator=creator,
            created_at=now,
            expires_at=now,
            announced_expiry=now,
        )
        self._sessions[kind][session.id] = session
        if kind is Kind.UPDATE:
            item.active_update_session = session.id
        else:
            session.downloads = {
                name: DownloadFile(name, content) for name, content in item.files.items()
            }
        self._chronicle.happened(SessionEvent.CREATED, session, now)
        self.touch(session)
        return session

    def get(self, kind: Kind, session_id: str) -> Session:
        """Return a session as it is now. Raises ApiError if there is none, or no longer."""
        session = self._sessions[kind].get(session_id)
        if session is None or not self._settle(session, self._clock()):
            raise not_found(f"{kind} session", session_id)
        return session

    def active(self, kind: Kind, session_id: str) -> Session:
        """Return a session that has to be ACTIVE. Raises ApiError if it is not."""
        session = self.get(kind, session_id)
        if session.state is not SessionState.ACTIVE:
            raise not_allowed(f"The {kind} session {session_id} is {session.state}, not ACTIVE.")
        return session

    def all(self, kind: Kind) -> list[Session]:
        """Return every session of a kind as it is now."""
        now = self._clock()
        return [each for each in list(self._sessions[kind].values()) if self._settle(each, now)]

    def created_by(self, kind: Kind, creator: str, item_id: str | None = None) -> list[Session]:
        """Return the sessions that a user created, narrowed to an item where one is given."""
        if item_id is not None:
            self._catalog.item(item_id)
        return [
            each
            for each in self.all(kind)
            if each.creator == creator and item_id in (None, each.item_id)
        ]

    def keep_alive(self, kind: Kind, session_id: str, client_progress: int | None) -> Session:
        """Extend a session's lifetime.

        Raises ApiError: INVALID_ARGUMENT for progress outside 0 to 100, or not above what was
        reported before.
        """
        session = self.active(kind, session_id)
        if client_progress is not None:
            _check_progress(client_progress, session.client_progress)
            session.client_progress = client_progress
        self.touch(session)
        return session

    def complete(self, kind: Kind, session_id: str) -> None:
        """Take over what was uploaded, once pulls are done and files are validated.

        The session stays ACTIVE until then.
        Raises ApiError (NOT_ALLOWED_IN_CURRENT_STATE) while a pushed file has not fully arrived.
        """
        session = self.active(kind, session_id)
        for file in session.files.values():
            if file.source_type is SourceType.PUSH and file.status is not TransferStatus.READY:
                raise not_allowed(f"File {file.name} is {file.status}, not READY.")
        now = self._clock()
        pulls = [
            file.pull_started_at + self._behaviour.pull_duration
            for file in session.files.values()
            if file.pull_started_at is not None
        ]
        if session.completes_at is None:
            session.validates_at = max([now, *pulls])
            session.completes_at = session.validates_at + self._behaviour.validation_duration
        self.touch(session)
        self._settle(session, now)

    def cancel(self, kind: Kind, session_id: str) -> None:
        """End a session and drop what it received."""
        self._end(self.active(kind, session_id), SessionState.CANCELED, self._clock())

    def fail(self, kind: Kind, session_id: str, message: str) -> None:
        """End a session with the client's error message."""
        session = self.active(kind, session_id)
        session.error = message
        self._end(session, SessionState.ERROR, self._clock())

    def delete(self, kind: Kind, session_id: str) -> None:
        """Remove a session. An update session has to be ended first; a download session has not."""
        session = self.get(kind, session_id)
        if kind is Kind.UPDATE and session.state is SessionState.ACTIVE:
            raise not_allowed(f"The update session {session_id} is ACTIVE.")
        self._remove(session, SessionEvent.DELETED, self._clock())

    def forget_item(self, item: Item) -> None:
        """Remove the sessions of an item that is about to be deleted."""
        for kind in Kind:
            for session in self.all(kind):
                if session.item_id == item.id:
                    self._remove(session, SessionEvent.DELETED, self._clock())

    def touch(self, session: Session) -> None:
        """Extend a session's lifetime: there was activity."""
        now = self._clock()
        session.announced_expiry = now + self._behaviour.session_timeout
        if self._secret_timeout is None:
            session.expires_at = session.announced_expiry
        else:
            session.expires_at = now + self._secret_timeout
        self._chronicle.active(session, now)

    @contextmanager
    def shortened(self, seconds: float, *, announced: bool) -> Iterator[None]:
        """Give a shorter lifetime to whatever is touched inside, and say so to clients or not."""
        timeout, secret = self._behaviour.session_timeout, self._secret_timeout
        if announced:
            self._behaviour.session_timeout = seconds
        else:
            self._secret_timeout = seconds
        try:
            yield
        finally:
            self._behaviour.session_timeout, self._secret_timeout = timeout, secret

    def _settle(self, session: Session, now: float) -> bool:
        """Carry out what has fallen due, and say whether the session is still there."""
        if session.state is not SessionState.ACTIVE:
            return True
        completes_at = session.completes_at
        if completes_at is not None and completes_at <= min(now, session.expires_at):
            self._store(session)
            self._end(session, SessionState.DONE, completes_at)
        elif now >= session.expires_at:
            self._remove(session, SessionEvent.EXPIRED, session.expires_at)
            return False
        return True

    def _store(self, session: Session) -> None:
        item = self._catalog.item(session.item_id)
        item.content_version += 1
        for file in session.files.values():
            content = file.content
            item.files[file.name] = content or Content(size=file.declared_size or 0)

    def _end(self, session: Session, state: SessionState, at: float) -> None:
        session.state = state
        _drop_content(session)
        self._release_item(session)
        self._chronicle.happened(_END_EVENTS[state], session, at)

    def _remove(self, session: Session, event: SessionEvent, at: float) -> None:
        del self._sessions[session.kind][session.id]
        _drop_content(session)
        self._release_item(session)
        self._chronicle.happened(event, session, at)

    def _release_item(self, session: Session) -> None:
        if session.kind is Kind.UPDATE:
            item = self._catalog.item(session.item_id)
            if item.active_update_session == session.id:
                item.active_update_session = None

    def _is_busy(self, item: Item) -> bool:
        if item.active_update_session is not None:
            # Settling releases the item if that session has expired or completed meanwhile.
            self._settle(self._sessions[Kind.UPDATE][item.active_update_session], self._clock())
        return item.active_update_session is not None


def _drop_content(session: Session) -> None:
    """Let go of what a session received; what it completed with is the item's now."""
    for file in session.files.values():
        file.content = None


def _check_progress(progress: int, current: int | None) -> None:
    if not 0 <= progress <= 100:
        raise invalid(f"The client progress has to be from 0 to 100, and is {progress}.")
    if current is not None and progress <= current:
        raise invalid(f"The client progress has to rise above {current}, and is {progress}.")
