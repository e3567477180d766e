"""Work that would hold up the event loop, done in steps between which the loop goes on.

Another thread would not do: it takes the interpreter's lock for 5 ms at a time, which whoever
renews sessions would have to wait for after each of its system calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")

Steps = Generator[None, None, _T]
"""Yields after each step, of some three milliseconds; returns what came of them."""

_PAUSE = 0.001
"""Seconds: enough for every worker to send what is due, and to take in some answers. One turn of
the loop is not: a request takes several, so that hundreds a second would pile up meanwhile."""


async def walk(steps: Steps[_T]) -> _T:
    """Take the steps, with a pause for everybody else after each; return what came of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
        await asyncio.sleep(_PAUSE)


def at_once(steps: Steps[_T]) -> _T:
    """Take all the steps without a pause, and return what came of it."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
