"""Update and download sessions: permitted operations by state, and expiry.

Nothing runs in the background. Expiries and completions are applied when a session is next read,
with the times at which they were due.

These count as activity: creating a session, keeping it alive, adding or removing a file, requesting
validation, completion or a download, and, if so configured, every chunk of a PUT or a GET. Reading
a session does not extend it, nor does the server's own work (pulling, validating or preparing a
file).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.catalog import Catalog
from keepalived.simulator.content import Content
from keepalived.simulator.errors import ApiError, ErrorType, invalid, not_allowed, not_found
from keepalived.simulator.ledger import Ledger
from keepalived.simulator.resources import (
    DownloadFile,
    Item,
    ServerSession,
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


class ServerSessions:
    """The sessions of one simulated vCenter."""

    def __init__(
        self, catalog: Catalog, clock: Clock, ledger: Ledger, behaviour: Behaviour
    ) -> None:
        self._behaviour = behaviour
        self._catalog = catalog
        self.clock = clock
        self._ledger = ledger
        self._secret_timeout: float | None = None
        self._sessions: dict[Kind, dict[str, ServerSession]] = {kind: {} for kind in Kind}

    def create(
        self, kind: Kind, item_id: str, creator: str, *, session_id: str | None = None
    ) -> ServerSession:
        """Open a session on an item.

        Raises ApiError: NOT_FOUND if the item does not exist, RESOURCE_BUSY if it already has an
        active update session.
        """
        item = self._catalog.item(item_id)
        now = self.clock()
        if kind is Kind.UPDATE and item.active_update_session is not None:
            # Settling releases the item if that session has expired or completed meanwhile.
            self._settle(self._sessions[kind][item.active_update_session], now)
            if item.active_update_session is not None:
                message = f"Library item {item_id} has an active update session already."
                raise ApiError(ErrorType.RESOURCE_BUSY, message)
        session = ServerSession(
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
        self._ledger.happened(SessionEvent.CREATED, session, now)
        self.touch(session)
        return session

    def get(self, kind: Kind, session_id: str) -> ServerSession:
        """Return a session in its current state. Raises ApiError if it does not exist."""
        session = self._sessions[kind].get(session_id)
        if session is None or not self._settle(session, self.clock()):
            raise not_found(f"{kind} session", session_id)
        return session

    def active(self, kind: Kind, session_id: str) -> ServerSession:
        """Return an ACTIVE session. Raises ApiError if it is in another state."""
        session = self.get(kind, session_id)
        if session.state is not SessionState.ACTIVE:
            raise not_allowed(f"The {kind} session {session_id} is {session.state}, not ACTIVE.")
        return session

    def all(self, kind: Kind) -> list[ServerSession]:
        """Return all sessions of a kind in their current state."""
        now = self.clock()
        return [each for each in list(self._sessions[kind].values()) if self._settle(each, now)]

    def created_by(
        self, kind: Kind, creator: str, item_id: str | None = None
    ) -> list[ServerSession]:
        """Return the sessions that a user created, optionally only those on an item."""
        if item_id is not None:
            self._catalog.item(item_id)
        return [
            each
            for each in self.all(kind)
            if each.creator == creator and item_id in (None, each.item_id)
        ]

    def keep_alive(self, kind: Kind, session_id: str, client_progress: int | None) -> ServerSession:
        """Extend a session's lifetime.

        Raises ApiError: INVALID_ARGUMENT for progress outside 0 to 100, or not above the previous
        report.
        """
        session = self.active(kind, session_id)
        if client_progress is not None:
            _check_progress(client_progress, session.client_progress)
            session.client_progress = client_progress
        self.touch(session)
        return session

    def complete(self, kind: Kind, session_id: str) -> None:
        """Commit the uploaded files to the item, once pulls are done and files are validated.

        The session stays ACTIVE until then.
        Raises ApiError (NOT_ALLOWED_IN_CURRENT_STATE) while a pushed file has not fully arrived.
        """
        session = self.active(kind, session_id)
        for file in session.files.values():
            if file.source_type is SourceType.PUSH and file.status is not TransferStatus.READY:
                raise not_allowed(f"File {file.name} is {file.status}, not READY.")
        now = self.clock()
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
        """Cancel a session and drop its received content."""
        self._end(self.active(kind, session_id), SessionState.CANCELED, self.clock())

    def fail(self, kind: Kind, session_id: str, message: str) -> None:
        """End a session with the client's error message."""
        session = self.active(kind, session_id)
        session.error = message
        self._end(session, SessionState.ERROR, self.clock())

    def delete(self, kind: Kind, session_id: str) -> None:
        """Remove a session. An update session must have ended, a download session need not."""
        session = self.get(kind, session_id)
        if kind is Kind.UPDATE and session.state is SessionState.ACTIVE:
            raise not_allowed(f"The update session {session_id} is ACTIVE.")
        self._remove(session, SessionEvent.DELETED, self.clock())

    def forget_item(self, item: Item) -> None:
        """Remove the sessions of an item that is about to be deleted."""
        for kind in Kind:
            for session in self.all(kind):
                if session.item_id == item.id:
                    self._remove(session, SessionEvent.DELETED, self.clock())

    def touch(self, session: ServerSession) -> None:
        """Extend a session's lifetime after activity."""
        now = self.clock()
        timeout, secret = self._behaviour.session_timeout, self._secret_timeout
        session.announced_expiry = now + timeout
        session.expires_at = now + (timeout if secret is None else secret)
        self._ledger.active(session, now)

    @contextmanager
    def shortened(self, seconds: float, *, announced: bool) -> Iterator[None]:
        """Shorten the lifetime of sessions touched in the block; `announced` shows it."""
        timeout, secret = self._behaviour.session_timeout, self._secret_timeout
        if announced:
            self._behaviour.session_timeout = seconds
        else:
            self._secret_timeout = seconds
        try:
            yield
        finally:
            self._behaviour.session_timeout, self._secret_timeout = timeout, secret

    def _settle(self, session: ServerSession, now: float) -> bool:
        """Apply due expiries and completions; return whether the session still exists."""
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

    def _store(self, session: ServerSession) -> None:
        item = self._catalog.item(session.item_id)
        item.content_version += 1
        for file in session.files.values():
            content = file.content
            item.files[file.name] = content or Content(size=file.declared_size or 0)

    def _end(self, session: ServerSession, state: SessionState, at: float) -> None:
        session.state = state
        self._close(session, _END_EVENTS[state], at)

    def _remove(self, session: ServerSession, event: SessionEvent, at: float) -> None:
        del self._sessions[session.kind][session.id]
        self._close(session, event, at)

    def _close(self, session: ServerSession, event: SessionEvent, at: float) -> None:
        """Release a session's received content and its item."""
        for file in session.files.values():
            file.content = None  # the content of a completed session belongs to the item
        if session.kind is Kind.UPDATE:
            item = self._catalog.item(session.item_id)
            if item.active_update_session == session.id:
                item.active_update_session = None
        self._ledger.happened(event, session, at)


def _check_progress(progress: int, current: int | None) -> None:
    if not 0 <= progress <= 100:
        raise invalid(f"The client progress has to be from 0 to 100, and is {progress}.")
    if current is not None and progress <= current:
        raise invalid(f"The client progress has to rise above {current}, and is {progress}.")


_File = TypeVar("_File")


def file_named(name: str, files: Mapping[str, _File]) -> _File:
    """Return one file. Raises ApiError (INVALID_ARGUMENT, as documented) if it is not there."""
    try:
        return files[name]
    except KeyError:
        raise invalid(f"The session has no file {name}.") from None
