"""Sends entries to journald by its native protocol.

See systemd.io/JOURNAL_NATIVE_PROTOCOL: a field is NAME=value and a line feed. If the value contains
line feeds, it is NAME, a line feed, the length as a 64-bit little-endian number, the value, and a
line feed. An entry too large for a datagram is sent as a sealed file in memory.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")

_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class JournalSocket:
    """A connection to the journal. Sending blocks while journald is busy."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()

    def send(self, fields: Mapping[str, str]) -> None:
        """Send one entry. Raises OSError if there is no journal."""
        entry = serialize(fields.items())
        try:
            self._socket.sendto(entry, self._path)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_file(entry)

    def _send_file(self, entry: bytes) -> None:
        """Send an entry as a file in memory, sealed against changes."""
        descriptor = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(descriptor, "wb") as file:
            file.write(entry)
            file.flush()
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            rights = array.array("i", [descriptor]).tobytes()
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            self._socket.sendmsg([], control, 0, self._path)


def serialize(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return an entry in journald's format. Names consist of A-Z, 0-9 and underscores."""
    entry = bytearray()
    for name, text in fields:
        value = text.encode(errors="backslashreplace")
        if b"\n" in value:
            length = len(value).to_bytes(8, "little")
            entry += b"%b\n%b%b\n" % (name.encode("ascii"), length, value)
        else:
            entry += b"%b=%b\n" % (name.encode("ascii"), value)
    return bytes(entry)


def is_journal(descriptor: int, journal_stream: str) -> bool:
    """Return whether a descriptor is connected to the journal, by the value of $JOURNAL_STREAM.

    See systemd.exec(5): it is DEVICE:INODE of the stream that systemd has connected.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"
