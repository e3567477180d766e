"""The controlling terminal: which process group has it, and passing it on."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NONE = -1
"""No file's descriptor: all that is asked of it fails, as with a terminal that was hung up."""


class Terminal:
    """Our controlling terminal, or none.

    Of the process groups on a terminal one is in the foreground: it has the keyboard, and ^C and
    the like go to it alone. All questions are answered, with no, when there is no terminal or when
    it was hung up.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._modes: list[Any] | None = None

    def is_there(self) -> bool:
        """Whether there is a terminal that was not hung up."""
        return _foreground(self._descriptor) is not None

    def is_ours_or(self, group: int) -> bool:
        """Whether our own process group is in the foreground, or this one."""
        return _foreground(self._descriptor) in (os.getpgrp(), group)

    def give_to(self, group: int) -> bool:
        """Let a group have the terminal, if ours has it. Return whether that group has it now."""
        owner = _foreground(self._descriptor)
        if owner == os.getpgrp():
            if self._modes is None:
                with suppress(termios.error):
                    self._modes = termios.tcgetattr(self._descriptor)
            return _pass(self._descriptor, group)
        return owner == group

    def take_back(self, group: int) -> None:
        """Have the terminal again, if this group has it or one that is no more.

        It is left to anybody else: to the shell that put us into the background, for one.
        """
        owner = _foreground(self._descriptor)
        if owner is not None and (owner == group or not _exists(owner)):
            _pass(self._descriptor, os.getpgrp())

    def tidy(self, group: int) -> None:
        """Undo what a group, which has the terminal and was killed, has done to its modes."""
        if self._modes is not None and _foreground(self._descriptor) == group:
            with suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._modes)


@contextmanager
def controlling_terminal() -> Iterator[Terminal]:
    """Open the controlling terminal, wherever the standard streams lead.

    Within the block SIGTTOU is ignored: from the background, too, the terminal can be taken back
    and written to.
    """
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        descriptor = _NONE
    previous = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield Terminal(descriptor)
    finally:
        signal.signal(signal.SIGTTOU, previous)
        if descriptor != _NONE:
            os.close(descriptor)


def has_foreground(descriptor: int) -> bool:
    """Whether our own process group is in the foreground of the terminal of a descriptor."""
    return _foreground(descriptor) == os.getpgrp()


def _foreground(descriptor: int) -> int | None:
    try:
        return os.tcgetpgrp(descriptor)
    except OSError:
        return None


def _pass(descriptor: int, group: int) -> bool:
    try:
        os.tcsetpgrp(descriptor, group)
    except OSError:
        return False
    return True


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
