"""The files of download sessions: asked for, prepared, and sent out."""

from __future__ import annotations

import secrets

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.errors import ApiError, ErrorType, invalid, not_found
from keepalived.simulator.resources import DownloadFile, PrepareStatus
from keepalived.simulator.sessions import Clock, Sessions

_HTTPS, _DIRECT = "HTTPS", "DIRECT"


class Downloads:
    """Files that clients download."""

    def __init__(self, sessions: Sessions, clock: Clock, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._sessions = sessions
        self._clock = clock
        self._tickets: dict[str, tuple[str, str]] = {}

    def files(self, session_id: str) -> list[DownloadFile]:
        """Return the files of a download session."""
        return list(self._sessions.get(Kind.DOWNLOAD, session_id).downloads.values())

    def file(self, session_id: str, name: str) -> DownloadFile:
        """Return one file. Raises ApiError (INVALID_ARGUMENT, as documented) if it is not there."""
        session = self._sessions.get(Kind.DOWNLOAD, session_id)
        try:
            return session.downloads[name]
        except KeyError:
            raise invalid(f"The session has no file {name}.") from None

    def prepare(self, session_id: str, name: str, endpoint: str = _HTTPS) -> DownloadFile:
        """Ask for a file's address; to ask again changes nothing.

        Raises ApiError: INVALID_ARGUMENT for an unknown file or kind of endpoint, UNAUTHORIZED for
        a place on storage, which there is none of here.
        """
        if endpoint == _DIRECT:
            raise ApiError(ErrorType.UNAUTHORIZED, "Nobody may read the storage directly.")
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
        """Return how far the preparation has come."""
        if file.requested_at is None:
            return PrepareStatus.UNPREPARED
        if self._clock() < file.requested_at + self._behaviour.prepare_duration:
            return PrepareStatus.PREPARING
        return PrepareStatus.ERROR if file.content.chunks is None else PrepareStatus.PREPARED

    def session_of(self, ticket: str) -> str | None:
        """Return the id of the session that an address belongs to, if it is a known one."""
        known = self._tickets.get(ticket)
        return known[0] if known else None

    def begin(self, ticket: str) -> Download:
        """Start to send a file out, from its beginning.

        Raises ApiError if the address is unknown, the session is gone or not ACTIVE, or the file is
        not prepared.
        """
        known = self._tickets.get(ticket)
        if known is None:
            raise not_found("download", "of this address")
        session_id, name = known
        file = self._sessions.active(Kind.DOWNLOAD, session_id).downloads[name]
        if self.status(file) is not PrepareStatus.PREPARED:
            raise not_found("prepared file", file.name)
        return Download(self, session_id, file)

    def send(self, session_id: str) -> None:
        """Account for a chunk. Raises ApiError if the session does not serve it any more."""
        session = self._sessions.active(Kind.DOWNLOAD, session_id)
        if self._behaviour.put_counts_as_activity:
            self._sessions.touch(session)


class Download:
    """One GET in progress."""

    def __init__(self, downloads: Downloads, session_id: str, file: DownloadFile) -> None:
        self.size = file.content.size
        self._downloads = downloads
        self._session_id = session_id
        self._file = file
        self._chunks = iter(file.content.chunks or ())
        file.bytes_transferred = 0

    def read(self) -> bytes:
        """Return the next chunk, none at the end.

        Raises ApiError if the session does not serve it any more.
        """
        chunk = next(self._chunks, b"")
        if chunk:
            self._downloads.send(self._session_id)
            self._file.bytes_transferred += len(chunk)
        return chunk
