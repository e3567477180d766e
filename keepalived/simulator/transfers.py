"""Manage the files of update sessions, and receive their uploads."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.content import ContentStore
from keepalived.simulator.errors import ApiError, ErrorType, invalid, not_found
from keepalived.simulator.resources import File, SessionState, SourceType, TransferStatus
from keepalived.simulator.sessions import ServerSessions, file_named


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """A file's transfer progress, as the server reports it."""

    status: TransferStatus
    bytes_transferred: int


class Transfers:
    """Files pushed by clients or pulled by the server; `room` limits their bytes."""

    def __init__(self, sessions: ServerSessions, behaviour: Behaviour, room: int) -> None:
        self.store = ContentStore(room)
        self._behaviour = behaviour
        self._sessions = sessions
        self._clock = sessions.clock
        self._tickets: dict[str, tuple[str, File]] = {}

    def add(
        self,
        session_id: str,
        name: str,
        source_type: SourceType,
        *,
        size: int | None = None,
        source_uri: str | None = None,
    ) -> File:
        """Add a file. Adding it again restarts its transfer.

        Raises ApiError for an empty name, a negative size, or a PULL without a source.
        """
        session = self._sessions.active(Kind.UPDATE, session_id)
        if not name or "/" in name:
            raise invalid("A file needs a name without slashes.")
        if size is not None and size < 0:
            raise invalid(f"The size of a file cannot be {size}.")
        file = File(name, source_type, size)
        if source_type is SourceType.PUSH:
            file.ticket = secrets.token_hex(16)
            self._tickets[file.ticket] = (session_id, file)
        elif source_type is SourceType.PULL:
            if not source_uri:
                raise invalid("A PULL file needs a source endpoint.")
            file.source_uri = source_uri
            file.pull_started_at = self._clock()
        if name in session.files:
            self._tickets.pop(session.files[name].ticket, None)
        session.files[name] = file
        self._sessions.touch(session)
        return file

    def files(self, session_id: str) -> list[File]:
        """Return the files of an update session, in the order they were added."""
        return list(self._sessions.get(Kind.UPDATE, session_id).files.values())

    def file(self, session_id: str, name: str) -> File:
        """Return one file. Raises ApiError (INVALID_ARGUMENT, as documented) if it is not there."""
        return file_named(name, self._sessions.get(Kind.UPDATE, session_id).files)

    def remove(self, session_id: str, name: str) -> None:
        """Remove a file from a session."""
        session = self._sessions.active(Kind.UPDATE, session_id)
        self._tickets.pop(file_named(name, session.files).ticket, None)
        del session.files[name]
        self._sessions.touch(session)

    def validate(self, session_id: str) -> list[File]:
        """Return the files whose transfer failed."""
        session = self._sessions.active(Kind.UPDATE, session_id)
        self._sessions.touch(session)
        return [file for file in session.files.values() if file.status is TransferStatus.ERROR]

    def progress(self, session_id: str, file: File) -> TransferProgress:
        """Return the progress of a session's file."""
        now, status, done = self._clock(), file.status, file.bytes_transferred
        if file.pull_started_at is not None:
            duration = self._behaviour.pull_duration
            share = 1.0 if duration <= 0 else min(1.0, (now - file.pull_started_at) / duration)
            status = TransferStatus.READY if share >= 1 else TransferStatus.TRANSFERRING
            done = int(share * (file.declared_size or 0))
        session = self._sessions.get(Kind.UPDATE, session_id)
        validates_at = session.validates_at if session.state is SessionState.ACTIVE else None
        if status is TransferStatus.READY and validates_at is not None and validates_at <= now:
            status = TransferStatus.VALIDATING
        elif file.receiving and not self._behaviour.bytes_during_put:
            done = 0
        return TransferProgress(status, done)

    def session_of(self, ticket: str) -> str | None:
        """Return the id of the session of an upload URL, or None if it is unknown."""
        known = self._tickets.get(ticket)
        return known[0] if known else None

    def begin_upload(self, ticket: str) -> ReceivedUpload:
        """Start to receive a PUT.

        Raises ApiError if the URL is unknown, the session is gone or not ACTIVE, or another
        PUT of the same file is under way.
        """
        known = self._tickets.get(ticket)
        if known is None:
            raise not_found("upload", "of this address")
        session_id, file = known
        self._sessions.active(Kind.UPDATE, session_id)
        if file.receiving:
            raise ApiError(ErrorType.RESOURCE_BUSY, f"File {file.name} is being uploaded already.")
        return ReceivedUpload(self, session_id, file)

    def receive(self, session_id: str, size: int) -> None:
        """Account for a chunk of a PUT. Raises ApiError if the session cannot accept it."""
        session = self._sessions.active(Kind.UPDATE, session_id)
        if self._behaviour.put_counts_as_activity and size:
            self._sessions.touch(session)


class ReceivedUpload:
    """One PUT in progress. Ends with `finish`, or else with `interrupt`."""

    def __init__(self, transfers: Transfers, session_id: str, file: File) -> None:
        self._transfers = transfers
        self._session_id = session_id
        self._file = file
        file.receiving = True
        file.status = TransferStatus.TRANSFERRING
        file.bytes_transferred = 0
        file.error = None
        self._content = file.content = transfers.store.receive()

    def write(self, chunk: bytes) -> None:
        """Receive a chunk. Raises ApiError if the session cannot accept it."""
        self._transfers.receive(self._session_id, len(chunk))
        self._content.write(chunk)
        self._file.bytes_transferred = self._content.size

    def finish(self) -> None:
        """End after the whole body. Raises ApiError if its size is not the announced one."""
        file = self._file
        self._transfers.receive(self._session_id, 0)
        if file.declared_size not in (None, file.bytes_transferred):
            message = f"{file.bytes_transferred} bytes arrived of {file.declared_size}."
            self.interrupt(message)
            raise invalid(f"File {file.name} differs from its announced size: {message}")
        file.receiving = False
        file.status = TransferStatus.READY

    def interrupt(self, reason: str = "The transfer was interrupted.") -> None:
        """End before the body is complete; another PUT may start over. Idempotent."""
        if not self._file.receiving:
            return
        self._file.receiving = False
        self._file.status = TransferStatus.ERROR
        self._file.error = reason
