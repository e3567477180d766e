"""Name resolution that remembers: the last good addresses serve while DNS does not."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver


class RememberingResolver(AbstractResolver):
    """Asks the system, and answers from memory when the system cannot."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()
        self._known: dict[tuple[str, int, int], list[ResolveResult]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError if it was never resolved."""
        key = (host, port, family)
        try:
            found = await self._resolver.resolve(host, port, family)
        except OSError:
            if key not in self._known:
                raise
            return self._known[key]
        self._known[key] = found
        return found

    async def close(self) -> None:
        """Close the resolver underneath."""
        await self._resolver.close()
