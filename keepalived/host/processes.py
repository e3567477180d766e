"""Identifies processes, finds their owners, and reports their end."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from keepalived.host.clock import boot_id

_START_FIELD = 22 - 3  # proc_pid_stat(5) counts from 1, and the name (2) was split off


class NoSuchProcessError(LookupError):
    """There is no such process, or this process may not see it."""


class CannotWatchError(Exception):
    """A running process cannot be watched; the message says why."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, distinct from earlier and later ones with the same pid.

    `start` is in clock ticks since boot, so the boot's id is part of the identity.
    """

    pid: int
    start: int
    boot_id: str

    def __str__(self) -> str:
        return f"{self.pid}:{self.start}:{self.boot_id}"

    @classmethod
    def parse(cls, text: str) -> Process:
        """Parse the output of `str`. Raises ValueError for anything else."""
        pid, start, boot = text.split(":")
        return cls(int(pid), int(start), boot)


def process(pid: int) -> Process:
    """Return the process that has this pid now. Raises NoSuchProcessError."""
    # The name may contain anything, spaces and parentheses included; nothing after it does.
    _, _, rest = _read(pid, "stat").rpartition(b")")
    return Process(pid, int(rest.split()[_START_FIELD]), boot_id())


def owner_uid(pid: int) -> int:
    """Return the real user of a process, which setuid programs do not change.

    Raises NoSuchProcessError.
    """
    return int(_status(pid, "Uid")[0])


def is_in_inner_namespace(pid: int) -> bool:
    """Whether a process is in a PID namespace below ours, where pids differ.

    Raises NoSuchProcessError.
    """
    return len(_status(pid, "NSpid")) > 1


def _status(pid: int, name: str) -> list[bytes]:
    label = f"{name}:".encode()
    for line in _read(pid, "status").splitlines():
        if line.startswith(label):
            return line[len(label) :].split()
    return []  # a kernel without that feature


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError as error:
        # It has ended, before or during the read, or is hidden (hidepid, ProtectProc).
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM):
            raise NoSuchProcessError(pid) from error
        raise


@dataclass(slots=True)
class _Watch:
    descriptor: int
    callbacks: list[Callable[[Process], None]] = field(default_factory=list)


class ProcessWatcher:
    """Reports the end of processes, with one pidfd per process.

    A process that replaces its program by `exec` has not ended. `limit` is the most pidfds.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._watches: dict[Process, _Watch] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def __contains__(self, watched: object) -> bool:
        return watched in self._watches

    def watch(self, watched: Process, on_exit: Callable[[Process], None]) -> None:
        """Call `on_exit` once, from the event loop, when the process has ended.

        Repeating a call with the same callback changes nothing. Raises NoSuchProcessError if the
        process has ended already, even if its pid was reused, and CannotWatchError.
        """
        watch = self._watches.get(watched)
        if watch is None:
            watch = self._open(watched)
        if on_exit not in watch.callbacks:
            watch.callbacks.append(on_exit)

    def forget(self, watched: Process, on_exit: Callable[[Process], None]) -> None:
        """Remove the callback; unknown callbacks are ignored."""
        watch = self._watches.get(watched)
        if watch is None or on_exit not in watch.callbacks:
            return
        watch.callbacks.remove(on_exit)
        if not watch.callbacks:
            self._close(watched)

    def close(self) -> None:
        """Stop watching all processes."""
        for watched in tuple(self._watches):
            self._close(watched)

    def _open(self, watched: Process) -> _Watch:
        if len(self._watches) >= self._limit:
            raise CannotWatchError(f"the limit of {self._limit} watched processes is reached")
        try:
            descriptor = os.pidfd_open(watched.pid)
        except OSError as error:
            # ENOENT and EINVAL: the id is a thread's, not a process's.
            if error.errno in (errno.ESRCH, errno.ENOENT, errno.EINVAL):
                raise NoSuchProcessError(watched.pid) from error
            raise CannotWatchError(f"pidfd_open: {error.strerror}") from error
        try:
            # Checked after the pidfd was opened: from here on the pid cannot be reused.
            if process(watched.pid) != watched:
                raise NoSuchProcessError(watched.pid)
            asyncio.get_running_loop().add_reader(descriptor, self._ended, watched)
        except BaseException:
            os.close(descriptor)
            raise
        watch = self._watches[watched] = _Watch(descriptor)
        return watch

    def _ended(self, watched: Process) -> None:
        for callback in self._close(watched).callbacks:
            callback(watched)

    def _close(self, watched: Process) -> _Watch:
        watch = self._watches.pop(watched)
        asyncio.get_running_loop().remove_reader(watch.descriptor)
        os.close(watch.descriptor)
        return watch
