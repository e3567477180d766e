"""Times as they are stored.

Times are written twice: as boot time, which is exact until the machine reboots, whatever happens
to its wall clock, and as wall time, which remains valid after a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """Converts this boot's times to both stored forms, and back."""

    boot_id: str
    wall_of_boot: float
    """Wall time minus boot time, now."""

    def is_of(self, boot_id: str) -> bool:
        """Whether a boot is this one; False if either is unknown."""
        return boot_id == self.boot_id != ""
