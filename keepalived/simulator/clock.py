"""The clock of the simulated server."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

_formatted = lru_cache(maxsize=16)(formatdate)


class ServerClock:
    """Monotonic seconds from the caller's `clock`, and the corresponding wall time.

    `epoch` is the wall time (seconds) at which `clock` was zero; by default it is derived from the
    machine's clock at construction.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, epoch: float | None = None):
        self.now = clock
        self.epoch = time.time() - clock() if epoch is None else epoch

    def date_header(self, skew: float = 0.0) -> str:
        """Return the value of a `Date` header, `skew` seconds off."""
        return _formatted(int(self.epoch + self.now() + skew), usegmt=True)

    def timestamp(self, at: float, skew: float = 0.0) -> str:
        """Return a monotonic time as RFC 3339, rounded down to milliseconds."""
        wall = datetime.fromtimestamp(self.epoch + at + skew, UTC)
        return wall.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
