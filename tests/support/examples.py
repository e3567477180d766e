"""How many examples a property is tried on: fewer where the tests run over and over."""

from __future__ import annotations

import os

_SHARE = float(os.environ.get("EXAMPLES_SHARE", "1"))
_FEWEST = 5


def examples(number: int) -> int:
    """Return the share of `number` that EXAMPLES_SHARE (1) asks for, and no fewer than five."""
    return max(_FEWEST, round(number * _SHARE))
