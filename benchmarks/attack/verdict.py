"""Judge the measurements of an attack, in pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.findings import Finding
from benchmarks.soak.verdict import MIB

RATIO_AIM, RATIO_MOST = 5.0, 10.0
"""Longest stop of the attacked loop as a multiple of the idle loop's: the aim, and the limit above
which a run fails. The limit allows for other work on the machine."""

FLOOR_SECONDS = 0.020
"""Minimum that an idle loop's longest stop counts as: with all processors busy, a timer may be this
late in any process."""

MEMORY_AIM, MEMORY_MOST = 64 * MIB, 96 * MIB
"""Memory growth after a rest: the aim, and the limit above which a run fails. How many of the
interpreter's memory blocks stay half empty varies between runs."""

ANSWER_MOST = 60.0
"""Time limit in seconds for an honest request, generous for a busy machine."""


_MOST_WRITTEN = 5
_REPEATED = 3


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop of a loop, in seconds.

    `own` excludes the time in which its thread, or the thread that it waited for, waited for a
    processor that other processes used; `at` is on the monotonic clock.
    """

    own: float
    seconds: float
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stops:
    """The delays of a timer.

    `longest` is the longest stop in seconds, for any reason; `worst` are the longest by the loop's
    own time; `milliseconds` is the number of timers by their delay.
    """

    longest: float = 0.0
    worst: tuple[Stop, ...] = ()
    milliseconds: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Stops:
        """Return the stops in a probe's output."""
        worst = tuple(Stop(*each) for each in data["worst"])
        return cls(data["longest"], worst, tuple(data["milliseconds"]))

    @property
    def own(self) -> float:
        """The longest stop by the loop's own time."""
        return self.worst[0].own if self.worst else 0.0

    @property
    def repeated(self) -> float:
        """The third longest stop by the loop's own time."""
        return self.worst[_REPEATED - 1].own if len(self.worst) >= _REPEATED else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the stops as they are written to JSON."""
        return {
            "longest": self.longest,
            "own": self.own,
            "repeated": self.repeated,
            "99.9 %": self.share(0.999),
            "timers": sum(self.milliseconds),
            "worst": [asdict(each) for each in self.worst[:_MOST_WRITTEN]],
        }

    def share(self, share: float) -> float:
        """Return the delay in seconds that this share of all timers did not exceed."""
        left = share * sum(self.milliseconds)
        for milliseconds, number in enumerate(self.milliseconds):
            left -= number
            if left <= 0:
                return milliseconds / 1000
        return 0.0


def ratio(attacked: float, idle: float) -> float:
    """Return an attacked loop's stop as a multiple of the idle loop's."""
    return attacked / max(idle, FLOOR_SECONDS)


def judge_stops(attacked: Stops, idle: Stops) -> Finding:
    """Compare the longest stops of both loops, and judge by the loops' own time.

    Other work on the machine may delay either process at any time. The verdict therefore excludes
    the time in which their threads waited for a processor, and uses the third longest stop of each:
    attacks are repeated, so a stop that an attack causes recurs.
    """
    name = "longest stop of the loop"
    allowed = (
        f"aim: the last under {RATIO_AIM:g} times; at most {RATIO_MOST:g}; an idle stop counts as "
        f"at least {1000 * FLOOR_SECONDS:g} ms"
    )
    if not attacked.worst or not idle.worst:
        return Finding(name, "no answer", allowed, is_good=False)
    longest = _compared(attacked.longest, idle.longest)
    own = _compared(attacked.own, idle.own)
    repeated = _compared(attacked.repeated, idle.repeated)
    return Finding(
        name,
        f"{longest}; by its own work {own}; third longest {repeated}",
        allowed,
        is_good=ratio(attacked.repeated, idle.repeated) < RATIO_MOST,
    )


def _compared(attacked: float, idle: float) -> str:
    times = f"{1000 * attacked:.0f} ms, {1000 * idle:.0f} ms idle"
    return f"{times}: {ratio(attacked, idle):.1f} times"


def judge_lost(name: str, wanted: Collection[str], ended: Mapping[str, str]) -> Finding:
    """Count the wanted sessions that ended."""
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
    """Check that acknowledged holds that were neither released nor lost survive a kill."""
    missing = set(acknowledged) - set(there)
    return Finding(
        "acknowledged holds after kill -9",
        f"{len(acknowledged) - len(missing)} of {len(acknowledged)}",
        "all",
        is_good=bool(acknowledged) and not missing,
    )


@dataclass(slots=True)
class Service:
    """The service for honest requests: the seconds that each took, and all errors."""

    took: list[tuple[float, str]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def judge(self) -> Finding:
        """Check that all requests were answered successfully and in time."""
        slowest, what = max(self.took, default=(0.0, "nothing"))
        return Finding(
            "honest requests",
            f"{len(self.took)} answered, the slowest in {slowest:.2f} s ({what}), "
            f"{len(self.trouble)} refused or lost",
            f"all granted within {ANSWER_MOST:g} s",
            is_good=bool(self.took) and not self.trouble and slowest <= ANSWER_MOST,
        )


def judge_attacks(name: str, counts: Mapping[str, int]) -> Finding:
    """Check that each kind of attack was carried out: a run without attacks must not pass."""
    missing = [each for each, number in counts.items() if not number]
    seen = f"{sum(counts.values()):,} of {len(counts) - len(missing)} kinds"
    if missing:
        seen += f"; never: {', '.join(missing)}"
    return Finding(name, seen, "some of each kind", is_good=bool(counts) and not missing)
