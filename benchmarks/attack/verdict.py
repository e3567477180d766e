"""What an attack has to leave as it was, as pure arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.findings import Finding
from benchmarks.soak.verdict import MIB

RATIO_AIM, RATIO_MOST = 5.0, 10.0
"""How many times as long the attacked loop is to stand still as the idle one beside it, and from
which on a run fails, on a machine that does something else as well."""

FLOOR_SECONDS = 0.020
"""What an idle loop's longest stop counts as if it is shorter: a timer that comes this late, on a
machine with all processors at work, says nothing about a daemon."""

MEMORY_AIM, MEMORY_MOST = 64 * MIB, 96 * MIB
"""How much more memory there may be after a rest, and from which on a run fails: how much of the
interpreter's own blocks stays half empty is different each time."""

ANSWER_MOST = 60.0
"""Seconds that an honest request may take: no aim, but the end of patience on a busy machine."""


_MOST_WRITTEN = 5
_REPEATED = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """One time that a loop stood still, in seconds.

    `own` is without the time in which its thread, or the one that it waited for, waited for a
    processor, which other processes had; `at` is on the monotonic clock.
    """

    own: float
    seconds: float
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stops:
    """How late a timer came.

    `longest` is the longest stop in seconds, whatever it came from; `worst` are the longest ones by
    the loop's own time; `milliseconds` is the number of timers by how late they came.
    """

    longest: float = 0.0
    worst: tuple[Stop, ...] = ()
    milliseconds: tuple[int, ...] = ()

    @classmethod
    def told(cls, told: Mapping[str, Any]) -> Stops:
        """Read what a probe has written."""
        worst = tuple(Stop(*each) for each in told["worst"])
        return cls(told["longest"], worst, tuple(told["milliseconds"]))

    @property
    def own(self) -> float:
        """The longest stop by the loop's own time."""
        return self.worst[0].own if self.worst else 0.0

    @property
    def repeated(self) -> float:
        """What the loop stood still by its own work more than twice."""
        return self.worst[_REPEATED - 1].own if len(self.worst) >= _REPEATED else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is written to JSON."""
        return {
            "longest": self.longest,
            "own": self.own,
            "repeated": self.repeated,
            "99.9 %": self.share(0.999),
            "timers": sum(self.milliseconds),
            "worst": [asdict(each) for each in self.worst[:_MOST_WRITTEN]],
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
    """Compare the longest stops of both loops, and judge by what is the loop's own.

    The machine may let either process wait at any time. So it is judged without the time in which
    their threads waited for a processor, and by the third longest stop of each: all attacks are
    repeated, and what one of them causes is seen again.
    """
    name = "longest stop of the loop"
    allowed = (
        f"aim: that under {RATIO_AIM:g} times; at most {RATIO_MOST:g}; an idle stop under "
        f"{1000 * FLOOR_SECONDS:g} ms counts as that"
    )
    if not attacked.worst or not idle.worst:
        return Finding(name, "not told", allowed, is_good=False)
    longest = _compared(attacked.longest, idle.longest)
    own = _compared(attacked.own, idle.own)
    repeated = _compared(attacked.repeated, idle.repeated)
    return Finding(
        name,
        f"{longest}; by its own work {own}; that more than twice {repeated}",
        allowed,
        is_good=ratio(attacked.repeated, idle.repeated) < RATIO_MOST,
    )


def _compared(attacked: float, idle: float) -> str:
    words = f"{1000 * attacked:.0f} ms, {1000 * idle:.0f} ms idle"
    return f"{words}: {ratio(attacked, idle):.1f} times"


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
        f"aim: within {MEMORY_AIM / MIB:.0f} MiB; at most {MEMORY_MOST / MIB:.0f}",
        is_good=0 < after <= before + MEMORY_MOST,
    )


def judge_kept(acknowledged: Collection[str], there: Collection[str]) -> Finding:
    """Look for what was acknowledged and neither released nor lost, after a kill and a restart."""
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
