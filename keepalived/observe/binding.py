"""Bind the HTTP listener's address, before its server is imported."""

from __future__ import annotations

import asyncio
import errno
import socket

_BACKLOG = 128
# This machine lacks the address family; not fatal if another address can be bound.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class ListenError(Exception):
    """The configured address cannot be bound; the message names it and gives the reason."""


async def bind(listen: str) -> list[socket.socket]:
    """Return a listening socket for each address of the host of `listen`, a HOST:PORT.

    Raises ListenError.
    """
    try:
        sockets = await _bind(listen)
    except OSError as error:
        hint = "; choose another http.listen" if error.errno == errno.EADDRINUSE else ""
        message = f"cannot listen on {listen}: {error.strerror or error}{hint}"
        raise ListenError(message) from error
    for each in sockets:
        each.listen(_BACKLOG)
    return sockets


async def _bind(listen: str) -> list[socket.socket]:
    """Return a bound socket for each address that the host of `listen` has. Raises OSError."""
    host, _, port_text = listen.rpartition(":")
    port = int(port_text)
    found = await asyncio.get_running_loop().getaddrinfo(
        _name(host.strip("[]")), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            bound = _bind_one(family, kind, protocol, (address[0], port, *address[2:]))
        except OSError as error:
            if error.errno in _ABSENT:
                absent = error
                continue
            for each in sockets:
                each.close()
            raise
        sockets.append(bound)
        port = bound.getsockname()[1]
    if not sockets and absent is not None:
        raise absent
    return sockets


def _name(host: str) -> str | bytes | None:
    """Return a host for getaddrinfo: for bytes, it imports no tables of Unicode."""
    return (host.encode() if host.isascii() else host) or None


def _bind_one(
    family: int, kind: int, protocol: int, address: tuple[str | int, ...]
) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
