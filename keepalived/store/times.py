"""Times as they are stored.

Times are written twice: as boot time, which is exact for as long as the machine stays up whatever
happens to its wall clock, and as wall time, which is what is left after a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass

from keepalived.host.clock import Clock


@dataclass(frozen=True, slots=True)
class Times:
    """Turns this boot's times into both forms, and either form back into this boot's times."""

    boot_id: str
    wall_of_boot: float
    """Wall time minus boot time, now."""

    @classmethod
    def now(cls, clock: Clock, boot_id: str) -> Times:
        """Return the conversion that is right at present."""
        return cls(boot_id, clock.wall() - clock.boot())

    def both(self, boot: float | None) -> tuple[float | None, float | None]:
        """Return a time as boot time and as wall time."""
        return boot, None if boot is None else boot + self.wall_of_boot

    def read(self, boot_id: str, boot: float, wall: float) -> float:
        """Return a stored time as a time of this boot."""
        is_this_boot = boot_id == self.boot_id and boot_id != ""
        return boot if is_this_boot else wall - self.wall_of_boot

    def read_if_any(self, boot_id: str, boot: float | None, wall: float | None) -> float | None:
        """Return a stored time that may be missing, like `read`."""
        return None if boot is None or wall is None else self.read(boot_id, boot, wall)
