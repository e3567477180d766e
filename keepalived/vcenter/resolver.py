"""Name resolution with a memory: the last good addresses are used while DNS fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohappyeyeballs import AddrInfoType

TIMEOUT_SECONDS = 2.0
"""How long to wait for an answer while earlier addresses are known: dead servers do not refuse, but
stay silent for longer than a request may last."""

Addresses = Sequence[AddrInfoType]
"""What getaddrinfo returns."""

Lookup = Callable[[str, int], Awaitable[Addresses]]
"""Returns the addresses of a host, with a port. Raises OSError."""


async def system_lookup(host: str, port: int) -> Addresses:
    """Ask the system's resolver for an ASCII name."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(
        _as_bytes(host), port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )


def _as_bytes(host: str) -> bytes:
    """Return an ASCII name for getaddrinfo, which would import tables of Unicode for a string."""
    return host.encode("ascii")


class RememberingResolver:
    """Asks the system, and uses earlier addresses if that fails or takes too long."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._known: dict[tuple[str, int], Addresses] = {}
        self._under_way: dict[tuple[str, int], asyncio.Task[Addresses]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return the addresses of a host, an address being its own.

        Raises OSError if it was never resolved, and ValueError for what cannot be a name.
        """
        try:
            numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            return socket.getaddrinfo(_as_bytes(host), port, type=socket.SOCK_STREAM, flags=numeric)
        except socket.gaierror:
            pass  # It is a name.
        lookup = self._ask(host, port)
        if (host, port) not in self._known:
            return await asyncio.shield(lookup)
        await asyncio.wait([lookup], timeout=TIMEOUT_SECONDS)
        return self._known[host, port]

    async def close(self) -> None:
        """Stop asking."""
        lookups = list(self._under_way.values())
        for lookup in lookups:
            lookup.cancel()
        if lookups:
            await asyncio.wait(lookups)

    def _ask(self, host: str, port: int) -> asyncio.Task[Addresses]:
        """Ask once for all callers: each lookup may occupy a thread for long."""
        key = (host, port)
        if key not in self._under_way:

            async def ask() -> Addresses:
                return await self._lookup(host, port)

            lookup = asyncio.create_task(ask(), name=f"resolve {host}")
            lookup.add_done_callback(lambda done: self._take_in(key, done))
            self._under_way[key] = lookup
        return self._under_way[key]

    def _take_in(self, key: tuple[str, int], lookup: asyncio.Task[Addresses]) -> None:
        del self._under_way[key]
        if not lookup.cancelled() and lookup.exception() is None and lookup.result():
            self._known[key] = lookup.result()
