"""Controls when the interpreter searches all long-lived objects for garbage.

CPython stops the program during a full collection: for 15 ms with 10,000 held sessions, for a
second with 100,000, and every minute or so, since each renewal creates a new session object. It
finds next to nothing: reference counting frees what the daemon drops at once. Cycles come from
exceptions, and are young when they are dropped. So the objects that survive a full collection are
set aside (`gc.freeze`), and the next one covers only newer objects. Frozen objects that became
garbage later are found as well, but as rarely as the cost of the search demands, and whenever the
memory has doubled: objects in use at a freeze, such as a long answer, may have become part of a
cycle.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from keepalived.host.memory import resident_bytes

WHOLE_SHARE = 1e-5
"""The share of time that full collections may take: one of 20 ms each half hour."""

_GROWTH = 2.0
"""Growth of the memory since the last full collection that triggers the next one, as a factor."""

_OLDEST = 2
_LOOKS = 1
"""After more collections of the middle generation than this, the oldest is collected: the newer
objects are some 14,000 by then, and take 15 ms."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Create many objects, all of them live, without the garbage collector, which would go through
    them repeatedly as their number grows and take half the time."""
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
    """Collect garbage in this way, in the whole interpreter, until the block is left.

    `memory` returns the bytes in use.
    """
    collector = _Collector(whole_share, memory)
    young, middle, oldest = gc.get_threshold()
    gc.set_threshold(young, middle, _LOOKS)
    gc.callbacks.append(collector.heard)
    try:
        yield
    finally:
        gc.callbacks.remove(collector.heard)
        gc.set_threshold(young, middle, oldest)
        gc.unfreeze()


class _Collector:
    """Is called at each collection that CPython starts by its own thresholds."""

    def __init__(self, whole_share: float, memory: Callable[[], int]) -> None:
        self._whole_share = whole_share
        self._memory = memory
        self._enough = 0.0
        self._began = 0.0
        self._whole = True
        """Whether the next collection is a full one, as the first is."""
        self._whole_at = 0.0

    def heard(self, phase: str, info: dict[str, int]) -> None:
        """Freeze what a collection of the oldest generation has left, or unfreeze all objects."""
        if info["generation"] != _OLDEST:
            return
        now = time.monotonic()
        if phase == "start":
            self._began = now
            return
        if self._whole:
            self._whole_at = now + (now - self._began) / self._whole_share
            self._enough = _GROWTH * self._memory()
        self._whole = now >= self._whole_at or self._memory() > self._enough
        if self._whole:
            gc.unfreeze()
        else:
            gc.freeze()
