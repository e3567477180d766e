"""Reads files safely that other users may replace with pipes, devices or huge files.

Files are opened without blocking, and checked once they are open. Only regular files up to a size
limit are read; pipes, if allowed, up to a time limit. A network file system may still hang: see
`blocking`.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

PIPE_SECONDS = 30.0
"""How long the writers of a pipe may take until they close it."""

_CHUNK = 1 << 20
_PIPE_POLL_SECONDS = 0.02


class UnfitFileError(OSError):
    """The file is not of a kind that can be read safely; the message says why."""

    def __init__(self, reason: str, path: str | os.PathLike[str]) -> None:
        super().__init__(errno.EINVAL, reason, os.fspath(path))


class FileTooLargeError(UnfitFileError):
    """A file has more bytes than allowed, at least `size`."""

    def __init__(self, path: str | os.PathLike[str], size: int) -> None:
        super().__init__("the file is too large", path)
        self.size = size


def read_file(
    path: str | os.PathLike[str], *, most: int, pipes: bool = False
) -> tuple[bytes, os.stat_result]:
    """Return the content of a file, and its fstat result from before it was read.

    `most` is the largest size in bytes. `pipes` also allows pipes and devices. Raises OSError, and
    UnfitFileError for other kinds of files, too large ones, and pipes that are not closed in time.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:
        raise UnfitFileError("not a valid path", "?") from None
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if stat.S_ISREG(status.st_mode):
            if status.st_size > most:
                raise FileTooLargeError(path, status.st_size)
            return _read_regular(descriptor, path, most), status
        if not pipes:
            raise UnfitFileError("not a regular file", path)
        return _read_pipe(descriptor, path, most, status), status
    finally:
        os.close(descriptor)


def _read_regular(descriptor: int, path: str | os.PathLike[str], most: int) -> bytes:
    content = bytearray()
    while True:
        try:
            part = os.read(descriptor, min(_CHUNK, most + 1 - len(content)))
        except BlockingIOError:
            # Some kernel files look regular, but block until more data arrives.
            raise UnfitFileError("not a regular file", path) from None
        if not part:
            return bytes(content)
        _add(content, part, path, most)


def _read_pipe(
    descriptor: int, path: str | os.PathLike[str], most: int, status: os.stat_result
) -> bytes:
    """Return all data of a pipe, until every writer has closed it; the first may open it late."""
    content = bytearray()
    until = time.monotonic() + PIPE_SECONDS
    while time.monotonic() < until:
        try:
            part = os.read(descriptor, min(_CHUNK, most + 1 - len(content)))
        except BlockingIOError:
            pass
        else:
            if part:
                _add(content, part, path, most)
                continue
            if content or not stat.S_ISFIFO(status.st_mode):
                return bytes(content)
        time.sleep(_PIPE_POLL_SECONDS)
    raise UnfitFileError(f"the pipe was not written and closed in {PIPE_SECONDS:g} s", path)


def _add(content: bytearray, part: bytes, path: str | os.PathLike[str], most: int) -> None:
    content += part
    if len(content) > most:
        raise FileTooLargeError(path, len(content))


def readable_path(path: str | Path) -> str:
    """Return a path as text that UTF-8 can encode.

    Names may contain any bytes; undecodable ones are written as `\\xff`, like in Python and shells.
    """
    text = os.fspath(path)
    if text.isascii():
        return text
    return os.fsencode(text).decode(errors="backslashreplace")
