"""What an attack has to leave as it was, as pure arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.soak.verdict import MIB, Finding

RATIO_MOST = 5.0
"""How many times as long the attacked loop may stand still as the idle one beside it."""

FLOOR_SECONDS = 0.020
"""What an idle loop's longest stop counts as if it is shorter: a timer that comes this late, on a
machine with all processors at work, says nothing about a daemon."""

MEMORY_MOST = 64 * MIB
ANSWER_MOST = 10.0
"""Seconds that an honest request may take."""


_MOST_WRITTEN = 20


@dataclass(frozen=True, slots=True)
class Stop:
    """One time that a loop stood still, in seconds. `waiting` is how much of it the loop's thread
    waited for a processor; `at` is on the monotonic clock."""

    seconds: float
    at: float = 0.0
    waiting: float = 0.0


@dataclass(frozen=True, slots=True)
class Stops:
    """How late a timer came: the longest stops, and the number of timers by milliseconds."""

    longest: tuple[Stop, ...] = ()
    milliseconds: tuple[int, ...] = ()
    beats: int = 0

    @classmethod
    def told(cls, told: Mapping[str, Any]) -> Stops:
        """Read what a probe has written."""
        longest = tuple(Stop(*each) for each in told["worst"])
        return cls(longest, tuple(told["milliseconds"]), told["beats"])

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is written to JSON."""
        return {
            "longest": [asdict(each) for each in self.longest[:_MOST_WRITTEN]],
            "99.9 %": self.share(0.999),
            "99 %": self.share(0.99),
            "timers": self.beats,
        }

    def share(self, share: float) -> float:
        """Return the seconds by which this share of all timers was late at most."""
        left = share * sum(self.milliseconds)
        for milliseconds, number in enumerate(self.milliseconds):
            left -= number
            if left <= 0:
                return milliseconds / 1000
        return 0.0


def ratio(attacked: float, idle: float) -> float:
    """Return how many times as long a stop is as an idle loop's."""
    return attacked / max(idle, FLOOR_SECONDS)


def judge_stops(attacked: Stops, idle: Stops) -> Finding:
    """Compare the longest stops of both loops, which the machine's other work prolongs alike."""
    allowed = (
        f"under {RATIO_MOST:g} times; an idle stop under {1000 * FLOOR_SECONDS:g} ms counts as that"
    )
    name = "longest stop of the loop"
    if not attacked.longest or not idle.longest:
        return Finding(name, "not told", allowed, is_good=False)
    longest, beside = attacked.longest[0].seconds, idle.longest[0].seconds
    times = ratio(longest, beside)
    seen = f"{1000 * longest:.0f} ms, {1000 * beside:.0f} ms idle: {times:.1f} times"
    return Finding(name, seen, allowed, is_good=times < RATIO_MOST)


def judge_lost(name: str, wanted: Collection[str], ended: Mapping[str, str]) -> Finding:
    """Count the sessions that ended while somebody wanted them."""
    lost = [each for each in wanted if each in ended]
    how = f" ({', '.join(sorted({ended[each] for each in lost}))})" if lost else ""
    seen = f"{len(lost)} of {len(wanted)}{how}"
    return Finding(name, seen, "0", is_good=bool(wanted) and not lost)


def judge_memory(before: int, after: int) -> Finding:
    """Compare the memory before and after."""
    return Finding(
        "memory after a rest",
        f"{before / MIB:.0f} MiB before, {after / MIB:.0f} MiB after",
        f"within {MEMORY_MOST / MIB:.0f} MiB",
        is_good=0 < after <= before + MEMORY_MOST,
    )


def judge_kept(acknowledged: Collection[str], there: Collection[str]) -> Finding:
    """Look for what was acknowledged and not released, after a kill and a restart."""
    missing = set(acknowledged) - set(there)
    return Finding(
        "acknowledged holds after kill -9",
        f"{len(acknowledged) - len(missing)} of {len(acknowledged)}",
        "all",
        is_good=bool(acknowledged) and not missing,
    )


@dataclass(slots=True)
class Service:
    """How honest requests were answered: the seconds that each took, and what went wrong."""

    took: list[tuple[float, str]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def judge(self) -> Finding:
        """Say whether all were answered well and in time."""
        slowest, what = max(self.took, default=(0.0, "nothing"))
        return Finding(
            "honest requests",
            f"{len(self.took)} answered, the slowest in {slowest:.2f} s ({what}), "
            f"{len(self.trouble)} refused or lost",
            f"all granted within {ANSWER_MOST:g} s",
            is_good=bool(self.took) and not self.trouble and slowest <= ANSWER_MOST,
        )


def judge_attacks(name: str, counts: Mapping[str, int]) -> Finding:
    """See that each kind of attack was carried out: a run must not pass by attacking nothing."""
    missing = [each for each, number in counts.items() if not number]
    seen = f"{sum(counts.values()):,} of {len(counts) - len(missing)} kinds"
    if missing:
        seen += f"; never: {', '.join(missing)}"
    return Finding(name, seen, "some of each kind", is_good=bool(counts) and not missing)
