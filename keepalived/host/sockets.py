"""Binds a listening Unix socket, or accepts one from systemd."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path

MODE = 0o660
"""Only the socket's owner and its group may connect."""

LONGEST_PATH = 107
"""In bytes; the limit of unix(7) without the final NUL."""

_BACKLOG = 128
_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
_ACTIVATION = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class SocketError(Exception):
    """The socket is not available; the message gives its path, the reason and a remedy."""


class UnixListener:
    """A listening Unix socket, and the lock that reserves its path.

    `close` removes the socket's file and releases the lock. The lock's file is never removed:
    otherwise two daemons could lock two files with the same name.
    """

    def __init__(
        self, path: Path, listening: socket.socket, lock: int, gid: int | None = None
    ) -> None:
        self.path = path
        self.socket = listening
        self._lock = lock
        self._gid = gid
        self._identity = _identity(path)

    @property
    def is_there(self) -> bool:
        """Whether the file at the path is still this socket: a clean-up may have removed it."""
        return _identity(self.path) == self._identity

    def bind_again(self) -> socket.socket:
        """Return a new socket that listens at the path after the file was removed.

        The caller has to close the old one. Raises SocketError.
        """
        try:
            self.path.parent.mkdir(mode=0o755, exist_ok=True)
            is_locked = os.fstat(self._lock).st_nlink > 0
        except OSError as error:
            raise SocketError(f"cannot create {self.path.parent}: {error.strerror}") from error
        if not is_locked:
            former, self._lock = self._lock, _lock(self.path)
            os.close(former)
        _remove_stale(self.path)
        self.socket = _bind(self.path, self._gid)
        self._identity = _identity(self.path)
        return self.socket

    def close(self) -> None:
        """Close the socket and remove its file, if it is still ours. Idempotent.

        Open connections stay open.
        """
        if self._lock < 0:
            return
        self.socket.close()
        if self.is_there:
            self.path.unlink()
        os.close(self._lock)
        self._lock = -1


def listen_unix(path: Path, *, gid: int | None = None) -> UnixListener:
    """Listen on a Unix socket that only its owner and the group `gid` may use.

    First locks a separate file, `path` with `.lock` added. The socket of a running daemon
    is left alone; that of a dead one is replaced. Raises SocketError.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise SocketError(
            f"cannot listen on {path}: the path has {length} bytes, but a socket's may have only "
            f"{LONGEST_PATH}; choose a shorter one"
        )
    lock = _lock(path)
    try:
        _remove_stale(path)
        return UnixListener(path, _bind(path, gid), lock, gid)
    except BaseException:
        os.close(lock)
        raise


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(lock_path, flags, 0o600)
    except OSError as error:
        raise SocketError(f"cannot open {lock_path}: {error.strerror}{_hint(error)}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno != errno.EWOULDBLOCK:
            raise SocketError(f"cannot lock {lock_path}: {error.strerror}") from error
        raise SocketError(
            f"another daemon listens on {path}; stop it, or choose another socket path"
        ) from error
    return lock


def _remove_stale(path: Path) -> None:
    """Remove the file at `path` if it is a socket on which no process listens."""
    try:
        found = path.lstat()
    except OSError:
        return  # no file; bind reports other problems
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{path} exists and is not a socket; move it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # EAGAIN: the backlog is full, so it is in use
                raise SocketError(f"cannot connect to {path}: {error.strerror}") from error
    raise SocketError(f"another program listens on {path}; stop it, or choose another socket path")


def _bind(path: Path, gid: int | None) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    exists = False
    try:
        # Set the mode and the group before a client can connect.
        umask = os.umask(0o777 & ~MODE)
        try:
            bound.bind(str(path))
        finally:
            os.umask(umask)
        exists = True
        if gid is not None:
            os.chown(path, -1, gid, follow_symlinks=False)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        if exists:
            path.unlink()
        reason = error.strerror or str(error)
        raise SocketError(f"cannot listen on {path}: {reason}{_hint(error)}") from error
    bound.setblocking(False)
    return bound


def _hint(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "; create its directory"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "; run as a user with the permission, or choose another path or group"
    return ""


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def activated_socket(environ: MutableMapping[str, str]) -> socket.socket | None:
    """Return the socket that systemd passed to this process, or None if there is none.

    Removes systemd's variables from `environ`, so that child processes do not use them.
    Raises SocketError for anything but one Unix stream socket. See sd_listen_fds(3).
    """
    variables = {name: environ.pop(name, "") for name in _ACTIVATION}
    if variables["LISTEN_PID"] != str(os.getpid()) or not variables["LISTEN_FDS"].isdecimal():
        return None
    count = int(variables["LISTEN_FDS"])
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + count):
        os.set_inheritable(descriptor, False)
    if count == 0:
        return None
    if count > 1:
        raise SocketError(
            f"systemd passed {count} sockets; set only one ListenStream= in the socket unit"
        )
    passed = socket.socket(fileno=_FIRST_DESCRIPTOR)
    listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if passed.family != socket.AF_UNIX or passed.type != socket.SOCK_STREAM or not listens:
        passed.detach()
        raise SocketError(
            "the socket from systemd is not a listening Unix stream socket; "
            "set ListenStream= in the socket unit to a path"
        )
    passed.setblocking(False)
    return passed
