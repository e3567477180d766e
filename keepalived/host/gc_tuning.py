"""When the interpreter looks for garbage among everything that has long been there.

CPython stops the program while it goes through all objects: for 15 ms where 10,000 sessions are
held, for a second where there are 100,000, and every minute or so, since a renewal makes a new
session. Next to nothing is ever found: what the daemon drops goes at once, by its count of
references. Cycles come from exceptions, and are young when they are dropped. So whatever a look
through everything has left is set aside (`gc.freeze`), and the next one goes through what has come
since. What became garbage after that is found as well, as seldom as the search is dear, and
whenever the memory has doubled: what was in use at a freeze, such as a long answer, may have become
part of a cycle.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from keepalived.host.memory import resident_bytes

WHOLE_SHARE = 1e-5
"""The share of time that looks through all there is may take: one of 20 ms each half hour."""

_GROWTH = 2.0
"""Times as much memory as after the last look through everything, after which there is another."""

_OLDEST = 2
_LOOKS = 1
"""After more looks than this through the middle generation, the oldest has its turn: what has come
since is some 14,000 objects, and takes 15 ms."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Make many objects that all live, without the collector that would go through them again and
    again as they become more: it would take half the time."""
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
    """Look for garbage in this manner, in the whole interpreter, until the block is left.

    `memory` tells how many bytes there are in use.
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
    """Hears of each look that CPython takes by itself, by its own thresholds."""

    def __init__(self, whole_share: float, memory: Callable[[], int]) -> None:
        self._whole_share = whole_share
        self._memory = memory
        self._enough = 0.0
        self._began = 0.0
        self._whole = True
        """Whether the next look goes through everything: the first one does."""
        self._whole_at = 0.0

    def heard(self, phase: str, info: dict[str, int]) -> None:
        """Set aside what a look through the oldest generation has left, or bring it all back."""
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
