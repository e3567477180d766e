"""Work that is done in steps, done at once."""

from __future__ import annotations

from typing import TypeVar

from keepalived.observe.steps import Steps

_T = TypeVar("_T")


def taken(steps: Steps[_T]) -> _T:
    """Take all steps, and return what came of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
