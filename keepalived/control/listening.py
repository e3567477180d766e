"""Opens the control socket, from systemd or at the configured path, and watches its file.

The groups of the configuration, of the socket and of administrators, are resolved here as well.
"""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping

import structlog

from keepalived.host import blocking
from keepalived.host.clock import Clock, sleep_until
from keepalived.host.files import readable_path
from keepalived.host.sockets import SocketError, UnixListener, activated_socket, listen_unix
from keepalived.settings import ControlSettings

log = structlog.get_logger("clkeepalived")

Socket = socket.socket

_CHECK_SECONDS = 5.0


class Listening:
    """A listening socket, its origin, and whether clients can still find it."""

    def __init__(self, source: UnixListener | Socket) -> None:
        self._source = source
        self._inode = None if isinstance(source, UnixListener) else _inode_of(source)

    @property
    def socket(self) -> Socket:
        """The listening socket."""
        return self._source.socket if isinstance(self._source, UnixListener) else self._source

    @property
    def trouble(self) -> str:
        """Why clients cannot find the socket; empty if they can."""
        source = self._source
        if isinstance(source, UnixListener):
            return "" if source.is_there else f"{source.path} was removed"
        if self._inode is None or _inode_of(source) == self._inode:
            return ""
        path = readable_path(str(source.getsockname()))
        return f"{path} was removed; run: systemctl restart clkeepalived.socket"

    @property
    def can_bind_again(self) -> bool:
        """Whether this process can bind the socket again: not if systemd passed it."""
        return isinstance(self._source, UnixListener)

    def bind_again(self) -> Socket:
        """Bind a new socket at the removed file's path, and return it. Raises SocketError."""
        assert isinstance(self._source, UnixListener)  # noqa: S101 - see can_bind_again
        return self._source.bind_again()

    def close(self) -> None:
        """Close the socket, and remove its file if this process made it."""
        self._source.close()


class SocketWatch:
    """Detects when the control socket's file is removed, and binds the socket again if possible.

    `serve_on` is called with the new socket. `trouble` says why clients cannot find the socket at
    present; it is empty if they can.
    """

    def __init__(
        self, listening: Listening, serve_on: Callable[[Socket], Awaitable[None]], clock: Clock
    ) -> None:
        self.trouble = ""
        self._listening = listening
        self._serve_on = serve_on
        self._clock = clock

    async def run(self) -> None:
        """Check every five seconds, until cancelled."""
        logged = ""
        while True:
            can_bind = self._listening.can_bind_again
            try:
                trouble = await blocking.call("control socket", lambda: self._listening.trouble)
            except TimeoutError:
                trouble, can_bind = "checking its file hangs", False
            if trouble and trouble != logged:
                log.error("control_socket_gone", message=trouble)
            logged = trouble
            if trouble and can_bind:
                try:
                    new_socket = await blocking.call("bind it again", self._listening.bind_again)
                    await self._serve_on(new_socket)
                except (SocketError, OSError) as error:  # a TimeoutError is an OSError
                    trouble = f"{trouble}: {error}"
                else:
                    trouble = logged = ""
                    log.warning("control_socket_bound_again")
            self.trouble = trouble
            await sleep_until(self._clock, self._clock.boot() + _CHECK_SECONDS)


def _inode_of(listening: Socket) -> tuple[int, int] | None:
    """Return the device and inode of a Unix socket's file; None if there is none."""
    try:
        status = os.stat(listening.getsockname())
    except (OSError, ValueError, TypeError):
        return None
    return status.st_dev, status.st_ino


def listen(
    settings: ControlSettings, environ: MutableMapping[str, str] = os.environ
) -> Listening | None:
    """Return the control socket. None if its path is the default and the folder does not exist.

    Raises SocketError.
    """
    activated = activated_socket(environ)
    if activated is not None:
        return Listening(activated)
    if "socket" not in settings.given and not settings.socket.parent.is_dir():
        return None
    return Listening(listen_unix(settings.socket, gid=_socket_gid(settings)))


def admin_gid(settings: ControlSettings) -> int | None:
    """Return the id of the administrators' group, None if none is set. Raises SocketError."""
    return None if settings.admin_group is None else _gid(settings.admin_group, "admin_group")


def _socket_gid(settings: ControlSettings) -> int | None:
    if "socket_group" in settings.given:
        return _gid(settings.socket_group, "socket_group")
    try:
        gid = grp.getgrnam(settings.socket_group).gr_gid
    except (KeyError, ValueError):
        return None
    # Only root may give a file to a group that the process is not a member of.
    return gid if os.geteuid() == 0 or gid in (os.getegid(), *os.getgroups()) else None


def _gid(group: str, field: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise SocketError(f"control.{field}: there is no group {group!r} on this host") from None
