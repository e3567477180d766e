"""Clocks: boot time for deadlines, wall time for display."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

LONGEST_SLEEP = 5.0
"""The longest sleep in seconds before the clock is checked again: timers stop while the machine is
suspended, but the boot-time clock does not."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TICK = 0.001


class Clock(Protocol):
    """The daemon's source of time. Injected, so that tests can control it."""

    def boot(self) -> float:
        """Seconds since boot, suspended time included (CLOCK_BOOTTIME)."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch. For display and for files, never for deadlines."""
        ...


class SystemClock:
    """The system's clocks."""

    def boot(self) -> float:
        """Seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def boot_id() -> str:
    """Return the kernel's id of this boot: boot-time clocks of different boots do not compare.

    Empty if it is not available, as on some container hosts; then no two boots count as equal.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


async def sleep_until(clock: Clock, when: float) -> None:
    """Sleep until `when`, in seconds on the boot-time clock, to within a millisecond."""
    # There is no event to wait for, so the clock is polled.
    while (left := when - clock.boot()) > _TICK:  # noqa: ASYNC110
        await asyncio.sleep(min(left, LONGEST_SLEEP))
