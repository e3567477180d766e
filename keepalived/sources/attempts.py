"""Scans files in a thread, so that a file that hangs does not block the others.

A scan reports each file before accessing it. If an access takes too long, the thread is abandoned,
and a new scan starts that skips the hanging file until the abandoned thread returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from keepalived.host.blocking import SECONDS, THREADS
from keepalived.host.clock import Clock

T = TypeVar("T")

HANGS = f"accessing it takes over {SECONDS:g} s; is its file system still available?"

_FIRST_TIMEOUT = 5.0
"""How long a scan waits for a file at first. Doubles each time that was too short."""

_MOST_THREADS = 64
"""The most hanging threads. At this limit, no scan starts until one of them returns."""


class HangsError(Exception):
    """An earlier access still hangs. `is_certain` says that it has hung for SECONDS or more."""

    def __init__(self, is_certain: bool) -> None:
        super().__init__(HANGS)
        self.is_certain = is_certain


@dataclass(slots=True)
class Attempt:
    """One scan in one thread. `skipped` maps hanging names to whether that is certain."""

    skipped: Mapping[str, bool] = field(default_factory=dict)
    name: str = ""
    turn: int = 0

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Report what the block accesses. Raises HangsError if an earlier access still hangs."""
        if name in self.skipped:
            raise HangsError(self.skipped[name])
        self.turn += 1
        self.name = name
        try:
            yield
        finally:
            self.name = ""


class Attempts:
    """Runs scans, and remembers which names hang."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._timeouts: dict[str, float] = {}

    @property
    def hanging(self) -> tuple[str, ...]:
        """Names that have been hanging for SECONDS or more."""
        return tuple(name for name in self._since if self._is_certain(name))

    @property
    def is_undecided(self) -> bool:
        """Whether some names may be hanging, but not for long enough to be certain."""
        return len(self.hanging) < len(self._since)

    async def run(self, scan: Callable[[Attempt], T]) -> T | None:
        """Return the result of a scan, or None if too many threads hang."""
        while len(self._since) < _MOST_THREADS:
            attempt = Attempt({name: self._is_certain(name) for name in self._since})
            scanning = asyncio.get_running_loop().run_in_executor(THREADS, scan, attempt)
            stuck_at = await self._until_stuck(attempt, scanning)
            if stuck_at is None:
                return scanning.result()
            self._abandon(stuck_at, scanning)
        return None

    async def _until_stuck(self, attempt: Attempt, scanning: asyncio.Future[T]) -> str | None:
        """Return the name at which the scan hangs, or None once it is done."""
        name, turn, since = "", 0, self._clock.boot()
        while not scanning.done():
            await asyncio.wait([scanning], timeout=_FIRST_TIMEOUT / 5)
            now = self._clock.boot()
            if (attempt.name, attempt.turn) != (name, turn):
                name, turn, since = attempt.name, attempt.turn, now
            elif name and now - since >= self._timeouts.get(name, _FIRST_TIMEOUT):
                return None if scanning.done() else name
        return None

    def _abandon(self, name: str, scanning: asyncio.Future[T]) -> None:
        timeout = self._timeouts.get(name, _FIRST_TIMEOUT)
        self._timeouts[name] = min(SECONDS, 2 * timeout)
        self._since[name] = self._clock.boot() - timeout
        scanning.add_done_callback(lambda done: self._on_return(name, done))

    def _on_return(self, name: str, done: asyncio.Future[T]) -> None:
        self._since.pop(name, None)
        if not done.cancelled():
            done.exception()

    def _is_certain(self, name: str) -> bool:
        return self._clock.boot() - self._since[name] >= SECONDS
