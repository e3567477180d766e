"""How far an upload is, from what the server has seen and what the command has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from keepalived.host.open_files import OpenFile
from keepalived.lease.answers import FileInfo
from keepalived.lease.session import Session

MOST = 99
"""In percent: that all is done, the uploader says, by completing its session."""

_IN_TRANSFER = "TRANSFERRING"


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes done of bytes total."""

    done: int
    total: int

    @property
    def percent(self) -> int:
        """The progress that may be reported."""
        return min(MOST, 100 * self.done // self.total) if self.total > 0 else 0


def transfer(
    session: Session, reading: OpenFile | None, sizes: Mapping[str, int]
) -> Transfer | None:
    """Return how far a session's transfer is, or None where nobody can tell.

    `reading` is the command's largest file opened for reading; `sizes` are those of the local
    files seen so far. The server's own count goes before the position in a file: to compute a
    checksum, the whole file is read as well.
    """
    if session.files and all(file.name in sizes for file in session.files):
        seen = Transfer(session.transferred, sum(sizes[file.name] for file in session.files))
        if seen.done > 0:
            return seen
    if reading is None or not _is_sending(reading, session.files):
        return None
    return Transfer(min(reading.position, reading.size), reading.size)


def _is_sending(reading: OpenFile, files: tuple[FileInfo, ...]) -> bool:
    """Whether the server takes in what is read, rather than waits while a checksum is computed."""
    name = PurePath(reading.path).name
    named = [file for file in files if file.name == name]
    # A file that the session does not name may be an archive, sent in parts.
    return any(file.status == _IN_TRANSFER for file in named or files)
