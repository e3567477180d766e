"""Writing to a terminal or a pipe without waiting for whoever is to read it.

Somebody may have stopped the terminal (^S), or read page by page what comes through a pipe. That is
no reason to stand still for whoever has sessions to renew.
"""

from __future__ import annotations

import os
import stat
from typing import TextIO

_NONE = -1
"""No file's descriptor: whatever is written to it is lost, as with a reader that went away."""


class Outlet:
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
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                break
            except OSError:
                data = b""
        self._unsent = data

    def close(self) -> None:
        """Wait until everything was taken, and write nothing more. Idempotent."""
        if self.descriptor == _NONE:
            return
        os.set_blocking(self.descriptor, True)
        self.send()
        os.close(self.descriptor)
        self.descriptor = _NONE


def outlet_on(stream: TextIO | None) -> Outlet:
    """Return an outlet to where a stream leads; None stands for one that was closed before us."""
    if stream is None:
        return Outlet(_NONE)
    return Outlet(_way_of_its_own(stream.fileno()), stream.encoding)


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
