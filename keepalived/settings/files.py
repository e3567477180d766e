"""Reads settings files, and detects whether they have changed."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from keepalived.host.files import FileTooLargeError, UnfitFileError, read_file
from keepalived.settings.problems import ConfigError, Problem

LARGEST = 64 << 20
"""The most bytes that are read, so that a stray file cannot use up the memory. A session takes
about a hundred bytes."""

_SETTLED_NS = 2_000_000_000
"""The age at which any later write must change a file's time stamp. Two seconds is the coarsest
resolution of file systems."""


class Signature(NamedTuple):
    """A file's attributes from stat. If they differ, the file may have changed.

    Symbolic links are followed, so that a swapped link is noticed: Kubernetes swaps them to update
    a ConfigMap.
    """

    device: int
    inode: int
    size: int
    modified_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether any later write changes the signature: its time stamp is no longer current."""
        return abs(time.time_ns() - self.modified_ns) > _SETTLED_NS


def signature_of(status: os.stat_result) -> Signature:
    """Return the signature in a stat result."""
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read(path: str, *, pipes: bool = False) -> tuple[bytes, Signature]:
    """Return a file's content and its signature. Raises ConfigError.

    The signature is from before the read, so that every later write changes it. `pipes` allows a
    pipe, for a path that a person gave.
    """
    try:
        content, status = read_file(path, most=LARGEST, pipes=pipes)
    except FileTooLargeError as error:
        message = f"the file has {error.size >> 20} MiB; the limit is {LARGEST >> 20} MiB"
        raise ConfigError([Problem(path, None, "", message)]) from None
    except OSError as error:
        raise ConfigError([Problem(path, None, "", why_unreadable(error))]) from None
    return content, signature_of(status)


def why_unreadable(error: OSError) -> str:
    """Return a message that says why a file could not be opened or read."""
    match error:
        case FileNotFoundError():
            return "there is no such file"
        case PermissionError():
            return "this user may not read it; check the owner and mode of the file and its folders"
        case IsADirectoryError():
            return "this is a folder, not a file"
        case UnfitFileError():
            return str(error.strerror)
        case _:
            return f"it cannot be read: {error.strerror or error}"
