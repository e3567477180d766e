"""Name resolution with a memory: the last good addresses are used while DNS fails."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

TIMEOUT_SECONDS = 2.0
"""How long to wait for an answer while earlier addresses are known: dead servers do not refuse, but
stay silent for longer than a request may last."""

_Key = tuple[str, int, int]


class RememberingResolver(AbstractResolver):
    """Asks the system, and uses earlier addresses if that fails or takes too long."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver
        self._known: dict[_Key, list[ResolveResult]] = {}
        self._under_way: dict[_Key, asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host. Raises OSError if it was never resolved."""
        lookup = self._look_up(host, port, family)
        known = self._known.get((host, port, family))
        if known is None:
            return await asyncio.shield(lookup)
        await asyncio.wait([lookup], timeout=TIMEOUT_SECONDS)
        return self._known[host, port, family]

    async def close(self) -> None:
        """Stop asking, and close the resolver underneath."""
        lookups = list(self._under_way.values())
        for lookup in lookups:
            lookup.cancel()
        if lookups:
            await asyncio.wait(lookups)
        if self._resolver is not None:
            await self._resolver.close()

    def _look_up(
        self, host: str, port: int, family: socket.AddressFamily
    ) -> asyncio.Task[list[ResolveResult]]:
        """Ask once for all callers: each lookup may occupy a thread for long."""
        key = (host, port, family)
        if key not in self._under_way:
            if self._resolver is None:
                self._resolver = ThreadedResolver()
            question = self._resolver.resolve(host, port, family)
            lookup = asyncio.create_task(question, name=f"resolve {host}")
            lookup.add_done_callback(lambda done: self._take_in(key, done))
            self._under_way[key] = lookup
        return self._under_way[key]

    def _take_in(self, key: _Key, lookup: asyncio.Task[list[ResolveResult]]) -> None:
        del self._under_way[key]
        if not lookup.cancelled() and lookup.exception() is None and lookup.result():
            self._known[key] = lookup.result()
