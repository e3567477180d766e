"""Reads many files, some of which may hang, without blocking the others.

A look runs in a thread of its own and reports each file before accessing it. If one takes long,
the thread is left alone, and a new look begins that skips hanging files for as long as they hang.
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

HANGS = f"looking at it takes over {SECONDS:g} s; is its file system still there?"

_FIRST_PATIENCE = 5.0
"""How long the others first wait for a file. Doubles each time that was too short."""

_MOST_THREADS = 64
"""The most hanging threads. Beyond that, no look begins until one of them returns."""


class HangsError(Exception):
    """An earlier access to this still hangs. `is_certain` says that it has done so for long."""

    def __init__(self, is_certain: bool) -> None:
        super().__init__(HANGS)
        self.is_certain = is_certain


@dataclass(slots=True)
class Attempt:
    """One look, in one thread; `passed_over` maps hanging names to whether that is certain."""

    passed_over: Mapping[str, bool] = field(default_factory=dict)
    name: str = ""
    turn: int = 0

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Report what the block accesses. Raises HangsError if that already hangs."""
        if name in self.passed_over:
            raise HangsError(self.passed_over[name])
        self.turn += 1
        self.name = name
        try:
            yield
        finally:
            self.name = ""


class Attempts:
    """Runs looks, and remembers what hangs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._patience: dict[str, float] = {}

    @property
    def hanging(self) -> tuple[str, ...]:
        """Names that have been hanging for long."""
        return tuple(name for name in self._since if self._is_certain(name))

    @property
    def is_undecided(self) -> bool:
        """Whether it is still open if something hangs."""
        return len(self.hanging) < len(self._since)

    async def look(self, look: Callable[[Attempt], T]) -> T | None:
        """Return the result of a look, or None if too many threads hang for another one."""
        while len(self._since) < _MOST_THREADS:
            attempt = Attempt({name: self._is_certain(name) for name in self._since})
            looking = asyncio.get_running_loop().run_in_executor(THREADS, look, attempt)
            stuck_at = await self._until_stuck(attempt, looking)
            if stuck_at is None:
                return looking.result()
            self._leave(stuck_at, looking)
        return None

    async def _until_stuck(self, attempt: Attempt, looking: asyncio.Future[T]) -> str | None:
        """Return what the look hangs at; None once it is over."""
        name, turn, since = "", 0, self._clock.boot()
        while not looking.done():
            await asyncio.wait([looking], timeout=_FIRST_PATIENCE / 5)
            now = self._clock.boot()
            if (attempt.name, attempt.turn) != (name, turn):
                name, turn, since = attempt.name, attempt.turn, now
            elif name and now - since >= self._patience.get(name, _FIRST_PATIENCE):
                return None if looking.done() else name
        return None

    def _leave(self, name: str, looking: asyncio.Future[T]) -> None:
        patience = self._patience.get(name, _FIRST_PATIENCE)
        self._patience[name] = min(SECONDS, 2 * patience)
        self._since[name] = self._clock.boot() - patience
        looking.add_done_callback(lambda done: self._came_back(name, done))

    def _came_back(self, name: str, done: asyncio.Future[T]) -> None:
        self._since.pop(name, None)
        if not done.cancelled():
            done.exception()

    def _is_certain(self, name: str) -> bool:
        return self._clock.boot() - self._since[name] >= SECONDS
