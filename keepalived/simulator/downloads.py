"""Prepare and send the files of download sessions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.errors import ApiError, ErrorType, invalid, not_found
from keepalived.simulator.resources import DownloadFile, PrepareStatus
from keepalived.simulator.sessions import ServerSessions, file_named

_HTTPS, _DIRECT = "HTTPS", "DIRECT"


class Downloads:
    """Files that clients download."""

    def __init__(self, sessions: ServerSessions, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._sessions = sessions
        self._clock = sessions.clock
        self._tickets: dict[str, tuple[str, str]] = {}

    def files(self, session_id: str) -> list[DownloadFile]:
        """Return the files of a download session."""
        return list(self._sessions.get(Kind.DOWNLOAD, session_id).downloads.values())

    def file(self, session_id: str, name: str) -> DownloadFile:
        """Return one file. Raises ApiError (INVALID_ARGUMENT, as documented) if it is not there."""
        return file_named(name, self._sessions.get(Kind.DOWNLOAD, session_id).downloads)

    def prepare(self, session_id: str, name: str, endpoint: str = _HTTPS) -> DownloadFile:
        """Request a file's download URL. Idempotent.

        Raises ApiError: INVALID_ARGUMENT for an unknown file or kind of endpoint, UNAUTHORIZED for
        direct access to storage, which the simulator does not have.
        """
        if endpoint == _DIRECT:
            raise ApiError(ErrorType.UNAUTHORIZED, "Direct access to the storage is not permitted.")
        if endpoint != _HTTPS:
            raise invalid("endpoint_type is neither HTTPS nor DIRECT.")
        session = self._sessions.active(Kind.DOWNLOAD, session_id)
        file = self.file(session_id, name)
        if file.requested_at is None:
            file.requested_at = self._clock()
            file.ticket = secrets.token_hex(16)
            self._tickets[file.ticket] = (session_id, name)
        self._sessions.touch(session)
        return file

    def status(self, file: DownloadFile) -> PrepareStatus:
        """Return the state of the preparation."""
        if file.requested_at is None:
            return PrepareStatus.UNPREPARED
        if self._clock() < file.requested_at + self._behaviour.prepare_duration:
            return PrepareStatus.PREPARING
        return PrepareStatus.ERROR if file.content.chunks is None else PrepareStatus.PREPARED

    def session_of(self, ticket: str) -> str | None:
        """Return the id of the session of a download URL, or None if it is unknown."""
        known = self._tickets.get(ticket)
        return known[0] if known else None

    def begin(self, ticket: str) -> tuple[int, Iterator[bytes]]:
        """Start to send a file from its beginning; return its size in bytes and its chunks.

        Raises ApiError if the URL is unknown, the session is gone or not ACTIVE, or the file is not
        prepared. The iterator raises ApiError if the session stops serving it.
        """
        known = self._tickets.get(ticket)
        if known is None:
            raise not_found("download", "of this address")
        session_id, name = known
        file = self._sessions.active(Kind.DOWNLOAD, session_id).downloads[name]
        if self.status(file) is not PrepareStatus.PREPARED:
            raise not_found("prepared file", file.name)
        file.bytes_transferred = 0
        return file.content.size, self._sent(session_id, file)

    def _sent(self, session_id: str, file: DownloadFile) -> Iterator[bytes]:
        for chunk in filter(None, file.content.chunks or ()):
            session = self._sessions.active(Kind.DOWNLOAD, session_id)
            if self._behaviour.put_counts_as_activity:
                self._sessions.touch(session)
            file.bytes_transferred += len(chunk)
            yield chunk
