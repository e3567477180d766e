"""Times as they are stored.

Times are written twice: as boot time, which is exact for as long as the machine stays up whatever
happens to its wall clock, and as wall time, which is what is left after a reboot.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """What turns this boot's times into both forms, and either form back into these."""

    boot_id: str
    wall_of_boot: float
    """Wall time minus boot time, now."""

    def is_of(self, boot_id: str) -> bool:
        """Whether a boot is this one; an unknown one never is."""
        return boot_id == self.boot_id != ""
