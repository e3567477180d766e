"""The clock that deadlines count on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol


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
    """Return the kernel's id of this boot: boot-time clocks of different boots do not compare."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
