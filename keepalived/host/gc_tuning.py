"""Tunes the garbage collector, so that full collections do not delay renewals.

CPython stops the program during a full collection: for 15 ms with 10,000 held sessions, for a
second with 100,000, about every minute, since each renewal creates a new session object. It finds
almost nothing: reference counting frees objects at once, and cycles come from exceptions, so they
are young when they are dropped. So the objects that survive a full collection are frozen
(`gc.freeze`), and the next one covers only newer objects. Frozen objects that became garbage later
are also collected, but only as often as the cost allows, and whenever the memory has doubled: a
long answer that was in use at a freeze may have become part of a cycle.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from keepalived.host.memory import resident_bytes

WHOLE_SHARE = 1e-5
"""The share of time for full collections: one of 20 ms every half hour."""

_GROWTH = 2.0
"""The factor by which memory grows from one full collection to the next."""

_OLDEST = 2
_MIDDLE_COLLECTIONS = 1
"""The oldest generation is collected after more collections of the middle one than this: then there
are about 14,000 newer objects, which take 15 ms."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection while creating many live objects.

    The collector would scan them repeatedly, which would take half the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def long_lived_set_aside(
    whole_share: float = WHOLE_SHARE, memory: Callable[[], int] = resident_bytes
) -> Iterator[None]:
    """Tune the collector of the whole interpreter until the block is left.

    `memory` returns the bytes in use.
    """
    collector = _Collector(whole_share, memory)
    young, middle, oldest = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE_COLLECTIONS)
    gc.callbacks.append(collector.on_collection)
    try:
        yield
    finally:
        gc.callbacks.remove(collector.on_collection)
        gc.set_threshold(young, middle, oldest)
        gc.unfreeze()


class _Collector:
    """Freezes or unfreezes objects at each collection that CPython starts."""

    def __init__(self, whole_share: float, memory: Callable[[], int]) -> None:
        self._whole_share = whole_share
        self._memory = memory
        self._memory_limit = 0.0
        self._began = 0.0
        self._is_full = True
        """Whether the next collection is a full one. The first is."""
        self._full_at = 0.0

    def on_collection(self, phase: str, info: dict[str, int]) -> None:
        """After a collection of the oldest generation, freeze its survivors or unfreeze all."""
        if info["generation"] != _OLDEST:
            return
        now = time.monotonic()
        if phase == "start":
            self._began = now
            return
        if self._is_full:
            self._full_at = now + (now - self._began) / self._whole_share
            self._memory_limit = _GROWTH * self._memory()
        self._is_full = now >= self._full_at or self._memory() > self._memory_limit
        if self._is_full:
            gc.unfreeze()
        else:
            gc.freeze()
