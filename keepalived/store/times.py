"""Converts times for storing.

Each time is stored twice: as boot time, which is exact until the machine reboots, even if the wall
clock is changed, and as wall time, which remains valid after a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """What is needed to convert this boot's times to both stored forms and back."""

    boot_id: str
    wall_of_boot: float
    """Current wall time minus current boot time."""

    def is_of(self, boot_id: str) -> bool:
        """Whether `boot_id` is this boot's; False if either is unknown."""
        return boot_id == self.boot_id != ""
