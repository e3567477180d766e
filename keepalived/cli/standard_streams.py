"""Handling of standard streams that are closed, full, or broken pipes."""

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
    """Writing to standard output failed; `strerror` holds the reason."""


class _Output(io.FileIO):
    """Marks its errors as those of standard output. Broken pipes are left to click."""

    def write(self, content: WriteableBuffer, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise OutputError(error.errno, os.strerror(error.errno or errno.EIO)) from None


class _Messages(io.FileIO):
    """Ignores failed writes: a closed stream does not change how a command ends."""

    def write(self, content: WriteableBuffer, /) -> int:
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes


def mend() -> None:
    """Make the standard streams usable for the rest of the process.

    Closed descriptors are opened on /dev/null: otherwise the next file to be opened would get their
    number and receive the output.
    """
    # In ascending order: open() returns the lowest free descriptor.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _FIRST_FREE:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr)


def give_up_output() -> None:
    """Discard all further standard output, including what is still buffered."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the process's end


def _text(raw: io.FileIO, former: TextIO | None) -> TextIO:
    encoding = former.encoding if former is not None else "utf-8"
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True)
