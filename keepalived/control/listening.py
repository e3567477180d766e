"""Where the control socket comes from: systemd, or the configured path."""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

from keepalived.host.sockets import SocketError, activated_socket, listen_unix
from keepalived.settings import ControlSettings


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens, and what to call when it is needed no more."""

    socket: socket.socket
    close: Callable[[], None]


def listen(
    settings: ControlSettings, environ: MutableMapping[str, str] = os.environ
) -> Listening | None:
    """Return the control socket, or None where none is configured and the usual folder is missing.

    Raises SocketError.
    """
    activated = activated_socket(environ)
    if activated is not None:
        return Listening(activated, activated.close)
    if "socket" not in settings.model_fields_set and not settings.socket.parent.is_dir():
        return None
    listener = listen_unix(settings.socket, gid=_socket_gid(settings))
    return Listening(listener.socket, listener.close)


def admin_gid(settings: ControlSettings) -> int | None:
    """Return the id of the group of administrators, if there is to be one. Raises SocketError."""
    return None if settings.admin_group is None else _gid(settings.admin_group, "admin_group")


def _socket_gid(settings: ControlSettings) -> int | None:
    if "socket_group" in settings.model_fields_set:
        return _gid(settings.socket_group, "socket_group")
    try:
        gid = grp.getgrnam(settings.socket_group).gr_gid
    except (KeyError, ValueError):
        return None
    # Nobody else may give a file to a group that they are not in.
    return gid if os.geteuid() == 0 or gid in (os.getegid(), *os.getgroups()) else None


def _gid(group: str, field: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise SocketError(f"control.{field}: there is no group {group!r} on this host") from None
