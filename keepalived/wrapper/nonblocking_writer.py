"""Writes to a terminal or a pipe without waiting for its reader.

A user may have stopped the terminal (^S), or read the output of a pipe page by page. Neither may
block a process that has sessions to renew.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from typing import TextIO

_LEAST_ROOM = 256
"""The least that a pipe or a terminal takes at once when it is ready for more, in bytes."""

_NONE = -1
"""Stands for no file: output is lost, as if the reader had gone away."""


class NonblockingWriter:
    """Accepts text at once, and writes it as fast as it is taken. Owns `descriptor`.

    Output is lost if the reader has gone, or the disk is full.
    """

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self.descriptor = descriptor
        self._encoding = encoding
        self._unsent = b""

    @property
    def is_clear(self) -> bool:
        """Whether all output so far was taken."""
        return not self._unsent

    def send(self, text: str = "") -> None:
        """Write as much as is taken now, and keep the rest: half an escape sequence does harm."""
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
        """Wait until all output was taken, then close. Idempotent."""
        if self.descriptor == _NONE:
            return
        while not self.is_clear:
            _has_room(self.descriptor, None)
            self.send()
        os.close(self.descriptor)
        self.descriptor = _NONE


def writer_on(stream: TextIO | None) -> NonblockingWriter:
    """Return a writer to a stream's destination; None means one closed before our start."""
    if stream is None:
        return NonblockingWriter(_NONE)
    return NonblockingWriter(_reopened(stream.fileno()), stream.encoding)


def _write(descriptor: int, data: bytes) -> int:
    """Write what is taken now. Raises BlockingIOError if nothing is taken, or OSError."""
    if not os.get_blocking(descriptor):
        return os.write(descriptor, data)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        # Processes that share the descriptor must not find it non-blocking.
        with socket.socket(fileno=os.dup(descriptor)) as shared:
            return shared.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISREG(mode):
        return os.write(descriptor, data)
    # The destination could not be opened again: write only a little if there is room at all.
    if not _has_room(descriptor, 0):
        raise BlockingIOError
    return os.write(descriptor, data[:_LEAST_ROOM])


def _has_room(descriptor: int, milliseconds: int | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(milliseconds))


def _reopened(descriptor: int) -> int:
    """Open a descriptor's destination again if writing to it may block.

    Other processes that share the descriptor must not get BlockingIOError. A file never blocks, and
    its position has to stay shared.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            pass  # another user's terminal, after `su`, or a pipe without a reader
    return os.dup(descriptor)
