"""Writing to a terminal or a pipe without waiting for whoever is to read it.

Somebody may have stopped the terminal (^S), or read page by page what comes through a pipe. That is
no reason to stand still for whoever has sessions to renew.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from typing import TextIO

_LEAST_ROOM = 256
"""Bytes: of a pipe or a terminal that is ready for more, so many are taken at once."""

_NONE = -1
"""No file's descriptor: whatever is written to it is lost, as with a reader that went away."""


class NonblockingWriter:
    """Takes text at once, and writes it as it is taken. `descriptor` is closed with it.

    What nobody reads any more, or a full disk does not take, is lost.
    """

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self.descriptor = descriptor
        self._encoding = encoding
        self._unsent = b""

    @property
    def is_clear(self) -> bool:
        """Whether everything so far was taken."""
        return not self._unsent

    def send(self, text: str = "") -> None:
        """Write as much as is taken now, and keep the rest: half a sequence harms."""
        data = self._unsent + text.encode(self._encoding, errors="backslashreplace")
        while data:
            try:
                data = data[_write(self.descriptor, data) :]
            except BlockingIOError:
                break
            except OSError:
                data = b""
        self._unsent = data

    def close(self) -> None:
        """Wait until everything was taken, and write nothing more. Idempotent."""
        if self.descriptor == _NONE:
            return
        while not self.is_clear:
            _has_room(self.descriptor, None)
            self.send()
        os.close(self.descriptor)
        self.descriptor = _NONE


def outlet_on(stream: TextIO | None) -> NonblockingWriter:
    """Return an outlet to where a stream leads; None stands for one that was closed before us."""
    if stream is None:
        return NonblockingWriter(_NONE)
    return NonblockingWriter(_way_of_its_own(stream.fileno()), stream.encoding)


def _write(descriptor: int, data: bytes) -> int:
    """Write what is taken now. Raises BlockingIOError where that is nothing, or OSError."""
    if not os.get_blocking(descriptor):
        return os.write(descriptor, data)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        # Whoever shares it must not find it non-blocking.
        with socket.socket(fileno=os.dup(descriptor)) as shared:
            return shared.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISREG(mode):
        return os.write(descriptor, data)
    # What could not be opened once more: as little as fits where there is room at all.
    if not _has_room(descriptor, 0):
        raise BlockingIOError
    return os.write(descriptor, data[:_LEAST_ROOM])


def _has_room(descriptor: int, milliseconds: int | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(milliseconds))


def _way_of_its_own(descriptor: int) -> int:
    """Open what a descriptor leads to once more, where writing to it may have to wait.

    Whoever shares the descriptor must not be told to try again. A file never keeps anybody waiting,
    and its position is to be shared.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            pass  # another user's terminal, after `su`, or a pipe that nobody reads any more
    return os.dup(descriptor)
