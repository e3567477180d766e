"""The clock that deadlines count on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

LONGEST_SLEEP = 5.0
"""No timer sleeps longer, in seconds, without looking at the clock: a resumed machine's timers
have stood still, while the boot-time clock has not."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TICK = 0.001


class Clock(Protocol):
    """Where the daemon reads the time. Injected, so that tests can turn the hands."""

    def boot(self) -> float:
        """Seconds since boot, suspended time included (CLOCK_BOOTTIME)."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch. For people and for files, never for deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def boot(self) -> float:
        """Seconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def boot_id() -> str:
    """Return the kernel's id of this boot: boot-time clocks of different boots do not compare.

    Empty where it is not to be had, as on some hosts of containers: then none are the same.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


async def sleep_until(clock: Clock, when: float) -> None:
    """Sleep until `when`, in seconds on the boot-time clock, to within a millisecond."""
    # There is no event to wait for: it is the clock itself that is watched.
    while (left := when - clock.boot()) > _TICK:  # noqa: ASYNC110
        await asyncio.sleep(min(left, LONGEST_SLEEP))
