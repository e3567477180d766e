"""The progress of an upload, from the server's counts and the command's reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from keepalived.host.open_files import OpenFile
from keepalived.lease.answers import FileInfo
from keepalived.lease.session import Session

MOST = 99
"""In percent: only the uploader can report completion, by completing its session."""

_IN_TRANSFER = "TRANSFERRING"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes done of bytes total."""

    done: int
    total: int

    @property
    def percent(self) -> int:
        """The progress to report."""
        return min(MOST, 100 * self.done // self.total) if self.total > 0 else 0


def transfer(
    session: Session, reading: OpenFile | None, sizes: Mapping[str, int]
) -> Transfer | None:
    """Return the progress of a session's transfer, or None if it is unknown.

    `reading` is the largest file that the command reads; `sizes` are those of the local files seen
    so far. The server's own count takes precedence over the position in a file, since computing a
    checksum also reads the whole file.
    """
    if session.files and all(file.name in sizes for file in session.files):
        seen = Transfer(session.transferred, sum(sizes[file.name] for file in session.files))
        if seen.done > 0:
            return seen
    if reading is None or not _is_sending(reading, session.files):
        return None
    return Transfer(min(reading.position, reading.size), reading.size)


def _is_sending(reading: OpenFile, files: tuple[FileInfo, ...]) -> bool:
    """Whether the server receives what is read, rather than waits while a checksum is computed."""
    name = PurePath(reading.path).name
    named = [file for file in files if file.name == name]
    # A file that the session does not name may be an archive, sent in parts.
    return any(file.status == _IN_TRANSFER for file in named or files)
