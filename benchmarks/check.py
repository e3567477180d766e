"""`make bench-check`: fail if keep-alives have become slower relative to the other programs.

Compares ratios with the recorded ones, not times, since times depend on the machine.
"""

from __future__ import annotations

import sys

from benchmarks import lane, results

ROUNDS = 2
SECONDS = 3.0
FALL_MOST = 1 / 3
"""The share of a recorded ratio that may be lost; fluctuations of the machine are smaller."""

_RIVALS = (lane.BARE, lane.SDK, lane.REQUESTS)
_OWN = lane.Cell(lane.DAEMON, "http", "uvloop", "minimal")


def main() -> None:
    """Measure and compare; exit with 1 if a ratio has fallen too far."""
    before = results.recorded()[lane.PART.name]["answer"][_OWN.name]["ratios"]
    cells = [
        _OWN,
        *(lane.Cell(who, "http", "uvloop" if who == lane.BARE else "") for who in _RIVALS),
    ]
    now = lane.take_turns(cells, ROUNDS, SECONDS)[_OWN.name]["ratios"]
    fallen = False
    for rival in _RIVALS:
        least = before[rival] * (1 - FALL_MOST)
        fell = now[rival] < least
        fallen |= fell
        print(
            f"relative to {rival:<13} {now[rival]:6.2f}   recorded {before[rival]:6.2f}   "
            f"{'FELL' if fell else 'holds'} (at least {least:.2f})"
        )
    sys.exit(fallen)


if __name__ == "__main__":
    main()
