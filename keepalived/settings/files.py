"""Files on disk: what they hold, and by what to see that they have changed."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from keepalived.host.files import FileTooLargeError, UnfitFileError, read_file
from keepalived.settings.problems import ConfigError, Problem

LARGEST = 64 << 20
"""The most bytes that are read: what strays into a folder must not use up the memory. A session
takes some hundred bytes."""


_SETTLED_NS = 2_000_000_000
"""How old a file's time stamp is before a later write must show in it: two seconds, as coarse as
file systems count."""


class Signature(NamedTuple):
    """What stat says of a file: two that differ mean that the file may have changed.

    Of the file that a symbolic link leads to, so that a link that is swapped, as Kubernetes does
    with its ConfigMaps, is seen.
    """

    device: int
    inode: int
    size: int
    modified_ns: int

    @property
    def is_settled(self) -> bool:
        """Whether any later write will show in it: its time stamp is no longer the current one."""
        return abs(time.time_ns() - self.modified_ns) > _SETTLED_NS


def signature_of(status: os.stat_result) -> Signature:
    """Return the signature in what stat said."""
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read(path: str, *, pipes: bool = False) -> tuple[bytes, Signature]:
    """Return a file's content and the signature that it had. Raises ConfigError.

    The signature is taken first: whatever is written later shows as a change. `pipes` says that a
    person named the path, who may mean a pipe.
    """
    try:
        content, status = read_file(path, most=LARGEST, pipes=pipes)
    except FileTooLargeError as error:
        words = f"the file has {error.size >> 20} MiB; no file of settings is that large"
        raise ConfigError([Problem(path, None, "", words)]) from None
    except OSError as error:
        raise ConfigError([Problem(path, None, "", why_unreadable(error))]) from None
    return content, signature_of(status)


def why_unreadable(error: OSError) -> str:
    """Return in a person's words why a file could not be opened or read."""
    match error:
        case FileNotFoundError():
            return "there is no such file"
        case PermissionError():
            return "this user may not read it; see its owner and mode, and those of its folders"
        case IsADirectoryError():
            return "this is a folder, not a file"
        case UnfitFileError():
            return str(error.strerror)
        case _:
            return f"it cannot be read: {error.strerror or error}"
