"""Lists the open files of a process tree, with the position in each."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import NamedTuple

_PARENT_FIELD = 4 - 3  # proc_pid_stat(5) counts from 1, and the name (2) was split off
_MAX_BYTES = 65536  # more than any of these files in /proc has
_DELETED = " (deleted)"


class OpenFile(NamedTuple):
    """A regular file that a process has open. Sizes and positions are in bytes.

    The path is as the process sees it; its root directory may differ from ours. Reading by pread(2)
    or through a mapping does not move the position.
    """

    path: str
    size: int
    position: int
    reading: bool
    writing: bool


def tree(pid: int) -> tuple[int, ...]:
    """Return a process and all its descendants, the process first; empty once it has ended.

    A child that is forked meanwhile may be missing.
    """
    children = _children if _kernel_lists_children() else _children_by_parent()
    found = dict.fromkeys([pid] if os.path.exists(f"/proc/{pid}") else [])
    below = list(found)
    while below:
        # A pid that is reused during the walk must not cause an endless loop.
        new = [each for each in children(below.pop()) if each not in found]
        found.update(dict.fromkeys(new))
        below += new
    return tuple(found)


def open_files(pids: Iterable[int]) -> tuple[OpenFile, ...]:
    """Return the regular files that these processes have open, without duplicates.

    Omits files that are closed meanwhile or cannot be inspected. Blocks while a network file system
    does not answer.
    """
    found: dict[OpenFile, None] = {}
    for pid in pids:
        for descriptor in _list_directory(f"/proc/{pid}/fd"):
            # Closed meanwhile, another user's, or lost by its file server.
            with suppress(OSError):
                if (file := _open_file(pid, descriptor)) is not None:
                    found[file] = None
    return tuple(found)


def largest_being_read(files: Iterable[OpenFile]) -> OpenFile | None:
    """Return the largest file open for reading, and among equals the one read furthest."""
    return max(
        (file for file in files if file.reading and file.size > 0),
        key=lambda file: (file.size, file.position),
        default=None,
    )


def _open_file(pid: int, descriptor: str) -> OpenFile | None:
    link = f"/proc/{pid}/fd/{descriptor}"
    path = os.readlink(link)
    if not path.startswith("/"):  # a socket, a pipe or similar
        return None
    status = os.stat(link)
    if not stat.S_ISREG(status.st_mode):
        return None
    # Kernels may add other kinds of lines.
    lines = _read(f"/proc/{pid}/fdinfo/{descriptor}").splitlines()
    facts = {name: value for name, _, value in (line.partition(":") for line in lines)}
    if os.readlink(link) != path:  # closed and reused: the position belongs to another file
        return None
    flags = int(facts["flags"], 8)
    if flags & os.O_PATH:  # O_PATH only names the file
        return None
    mode = flags & os.O_ACCMODE
    return OpenFile(
        path=_undeleted(pid, path, status),
        size=status.st_size,
        position=int(facts["pos"]),
        reading=mode in (os.O_RDONLY, os.O_RDWR),
        writing=mode in (os.O_WRONLY, os.O_RDWR),
    )


def _undeleted(pid: int, path: str, status: os.stat_result) -> str:
    """Return the former path of a deleted file. Other files may really have such a name."""
    if not path.endswith(_DELETED):
        return path
    with suppress(OSError):
        if os.path.samestat(os.stat(f"/proc/{pid}/root{path}"), status):
            return path
    return path.removesuffix(_DELETED)


def _children(pid: int) -> list[int]:
    """Return the children of all threads of a process."""
    found: list[int] = []
    for thread in _list_directory(f"/proc/{pid}/task"):
        with suppress(OSError):
            found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


@cache
def _kernel_lists_children() -> bool:
    """Whether the kernel was built with CONFIG_PROC_CHILDREN, as most are."""
    return os.path.exists("/proc/thread-self/children")


def _children_by_parent() -> Callable[[int], list[int]]:
    """Read the parents of all processes; return a function from a pid to its children."""
    children: dict[int, list[int]] = {}
    for name in _list_directory("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                # The name may contain anything, parentheses included; nothing after it does.
                _, _, rest = _read(f"/proc/{name}/stat").rpartition(")")
                children.setdefault(int(rest.split()[_PARENT_FIELD]), []).append(int(name))
    return lambda pid: children.get(pid, [])


def _list_directory(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    """Read a small kernel file, in half the time of a buffered read."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, _MAX_BYTES).decode(errors="replace")
    finally:
        os.close(descriptor)
