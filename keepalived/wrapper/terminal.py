"""The controlling terminal: which process group has it, and handing it over."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NONE = -1
"""Stands for no file: all operations on it fail, as on a terminal that was hung up."""


class Terminal:
    """Our controlling terminal, or none.

    One process group on a terminal is in the foreground: it has the keyboard, and only it receives
    ^C and the like. Without a terminal, or after it was hung up, all methods
    return False.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._modes: list[Any] | None = None

    def is_there(self) -> bool:
        """Whether there is a terminal that was not hung up."""
        return _foreground(self._descriptor) is not None

    def is_ours_or(self, group: int) -> bool:
        """Whether our own process group or `group` is in the foreground."""
        return _foreground(self._descriptor) in (os.getpgrp(), group)

    def give_to(self, group: int) -> bool:
        """Give a group the terminal, if ours has it. Return whether that group has it now."""
        owner = _foreground(self._descriptor)
        if owner == os.getpgrp():
            if self._modes is None:
                with suppress(termios.error):
                    self._modes = termios.tcgetattr(self._descriptor)
            return _set_foreground(self._descriptor, group)
        return owner == group

    def take_back(self, group: int) -> None:
        """Take the terminal back, if `group` has it or a group that no longer exists.

        Any other group keeps it: for example the shell that put us into the background.
        """
        owner = _foreground(self._descriptor)
        if owner is not None and (owner == group or not _exists(owner)):
            _set_foreground(self._descriptor, os.getpgrp())

    def restore_modes(self, group: int) -> None:
        """Restore the terminal modes after a group that has the terminal was killed."""
        if self._modes is not None and _foreground(self._descriptor) == group:
            with suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._modes)


@contextmanager
def controlling_terminal() -> Iterator[Terminal]:
    """Open the controlling terminal, wherever the standard streams lead.

    Within the block SIGTTOU is ignored, so that the terminal can be taken back and written to even
    from the background.
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
    """Whether our own process group is in the foreground of a descriptor's terminal."""
    return _foreground(descriptor) == os.getpgrp()


def _foreground(descriptor: int) -> int | None:
    try:
        return os.tcgetpgrp(descriptor)
    except OSError:
        return None


def _set_foreground(descriptor: int, group: int) -> bool:
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
