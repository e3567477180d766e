"""Standard output and error as they are handed to us: closed, full, or going nowhere."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIRST_FREE = 3


class OutputError(OSError):
    """Standard output cannot be written; the reason is in `strerror`."""


class _Output(io.FileIO):
    """Tells its own errors from those of other files. A reader who left is left to click."""

    def write(self, content: WriteableBuffer, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise OutputError(error.errno, os.strerror(error.errno or errno.EIO)) from None


class _Messages(io.FileIO):
    """Discards all output: a closed stream does not change how a command ends."""

    def write(self, content: WriteableBuffer, /) -> int:
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes


def mend() -> None:
    """Make standard streams of whatever there is, for the rest of the process.

    Closed descriptors lead to /dev/null: what is opened next would take their numbers, and get what
    is printed.
    """
    # From the lowest one on: each is the one that is free.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _FIRST_FREE:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr)


def give_up_output() -> None:
    """Write nothing more to standard output, what waits already included."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the process's end


def _text(raw: io.FileIO, former: TextIO | None) -> TextIO:
    encoding = former.encoding if former is not None else "utf-8"
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True)
