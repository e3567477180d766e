"""Splits long work into slices, with pauses in which the event loop runs.

A thread would delay the loop as well, because only one thread runs Python code at a time. With
100,000 held sessions, a scrape takes 124 ms and a list of all sessions several seconds, which would
delay all renewals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterable
from typing import TypeVar

_T = TypeVar("_T")

Slices = Generator[None, None, _T]
"""Yields after each slice of some three milliseconds; returns the result."""

SLICE_SECONDS = 0.003

PAUSE_SECONDS = 0.001
"""In seconds; enough for every worker to send a request and receive some answers. One turn of the
loop would not be enough: a request takes several, so requests would accumulate."""


class SliceTimer:
    """Measures slices of work whose items take different times.

    Call `is_over` after each item. A slice begins with the first call, or the first one after a
    pause.
    """

    def __init__(self) -> None:
        self._ends_at: float | None = None

    def is_over(self) -> bool:
        """Return whether it is time for a pause."""
        now = time.perf_counter()
        if self._ends_at is None:
            self._ends_at = now + SLICE_SECONDS
        elif now >= self._ends_at:
            self._ends_at = None
            return True
        return False


async def run_in_slices(slices: Slices[_T]) -> _T:
    """Run the slices with a pause after each, and return the result."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: _T = end.value
            return result
        await asyncio.sleep(PAUSE_SECONDS)


def run_at_once(slices: Slices[_T]) -> _T:
    """Run all slices without a pause, and return the result."""
    try:
        while True:
            next(slices)
    except StopIteration as end:
        result: _T = end.value
        return result


async def in_slices(items: Iterable[_T], size: int) -> AsyncIterator[_T]:
    """Iterate over `items`, with a pause after every `size` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % size == 0:
            await asyncio.sleep(PAUSE_SECONDS)
