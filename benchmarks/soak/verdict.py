"""Judge from samples whether a daemon has grown, in pure functions.

A soak rests twice, after a warm-up and at the end: all churn has stopped, ended sessions are
forgotten, and the same few sessions are held. The samples of both rests must agree. Under churn,
numbers go up and down; there the trend over the second half is judged.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import combinations

from benchmarks.findings import Finding
from benchmarks.soak.samples import Sample

MIB = 1024 * 1024
BASELINE, CHURN, END = "baseline", "churn", "end"

_MEMORY = 2 * MIB
_MEMORY_SHARE = 0.04
_OBJECTS = 1000
_OBJECTS_SHARE = 0.01
_STATE_FILE = MIB // 4
_STATE_LOG = 8 * MIB
_MOST_POINTS = 150


def judge(samples: Sequence[Sample], most_to_vcenters: int, most_threads: int) -> list[Finding]:
    """Return a finding for each quantity that must not grow.

    `most_to_vcenters` is the number of connections that the daemon may pool, `most_threads` the
    number of its threads with all pools full. Raises ValueError if a phase has no sample.
    """
    before = [each for each in samples if each.phase == BASELINE]
    after = [each for each in samples if each.phase == END]
    churn = [each for each in samples if each.phase == CHURN]
    if not before or not after or len(churn) < 4:
        raise ValueError("too few samples for a verdict")
    second_half = churn[len(churn) // 2 :]
    at_rest = [
        _same("descriptors at rest", before, after, lambda each: each.descriptors),
        _threads(before, after, most_threads),
        _same("tasks at rest", before, after, lambda each: each.tasks),
        _objects(before, after),
        _memory_at_rest(before, after),
    ]
    return [
        *at_rest,
        _memory_under_churn(second_half),
        _state_file(churn),
        _at_most("write-ahead log", churn, lambda each: each.state_log, _STATE_LOG),
        _pooled(samples, most_to_vcenters),
    ]


def trend(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a series by Theil and Sen: the median of all slopes between two points.

    A few outliers, such as peaks before garbage collections, do not change it.
    """
    step = -(-len(points) // _MOST_POINTS)
    slopes = [
        (second[1] - first[1]) / (second[0] - first[0])
        for first, second in combinations(points[::step], 2)
        if second[0] > first[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def _same(
    name: str,
    before: Sequence[Sample],
    after: Sequence[Sample],
    of: Callable[[Sample], int | None],
) -> Finding:
    first, last = _least(before, of), _least(after, of)
    if first is None or last is None:
        return Finding(name, "no answer", "as many as before", is_good=False)
    return Finding(name, f"{first} before, {last} after", "no more than before", last <= first)


def _threads(before: Sequence[Sample], after: Sequence[Sample], most: int) -> Finding:
    first, last = before[-1].threads, after[-1].threads
    seen = f"{first} before, {last} after"
    return Finding("threads at rest", seen, f"{most}, with all pools full", last <= most)


def _objects(before: Sequence[Sample], after: Sequence[Sample]) -> Finding:
    first, last = _least(before, lambda each: each.objects), _least(after, lambda e: e.objects)
    allowed = f"{_OBJECTS:,} or {_OBJECTS_SHARE:.0%} more"
    if first is None or last is None:
        return Finding("Python objects at rest", "no answer", allowed, is_good=False)
    bound = max(_OBJECTS, _OBJECTS_SHARE * first)
    seen = f"{first:,} before, {last:,} after"
    return Finding("Python objects at rest", seen, allowed, last - first <= bound)


def _memory_at_rest(before: Sequence[Sample], after: Sequence[Sample]) -> Finding:
    first = statistics.median(each.anonymous for each in before)
    last = statistics.median(each.anonymous for each in after)
    return Finding(
        "memory at rest",
        f"{first / MIB:.1f} MiB before, {last / MIB:.1f} MiB after",
        _memory_words(),
        last - first <= _memory_bound(first),
    )


def _memory_under_churn(second_half: Sequence[Sample]) -> Finding:
    seconds = second_half[-1].at - second_half[0].at
    grown = seconds * trend([(each.at, float(each.anonymous)) for each in second_half])
    middle = statistics.median(each.anonymous for each in second_half)
    return Finding(
        "memory in the second half of the churn",
        f"{grown / MIB:+.2f} MiB in {seconds / 60:.1f} min at {middle / MIB:.1f} MiB",
        _memory_words(),
        grown <= _memory_bound(middle),
    )


def _state_file(churn: Sequence[Sample]) -> Finding:
    half = len(churn) // 2
    first = max(each.state_file for each in churn[:half])
    last = max(each.state_file for each in churn[half:])
    return Finding(
        "state file",
        f"at most {first / 1024:.0f} KiB in the first half, {last / 1024:.0f} KiB in the second",
        f"{_STATE_FILE / 1024:.0f} KiB more",
        last - first <= _STATE_FILE,
    )


def _at_most(
    name: str, samples: Sequence[Sample], of: Callable[[Sample], int], bound: int
) -> Finding:
    most = max(of(each) for each in samples)
    return Finding(name, f"{most / MIB:.1f} MiB at most", f"{bound / MIB:.0f} MiB", most <= bound)


def _pooled(samples: Sequence[Sample], bound: int) -> Finding:
    most = max(each.to_vcenters for each in samples)
    return Finding("connections to vCenters", f"{most} at most", f"{bound}", most <= bound)


def _least(samples: Sequence[Sample], of: Callable[[Sample], int | None]) -> int | None:
    """Return the minimum: a connection may not have been closed yet in other samples."""
    return min((value for each in samples if (value := of(each)) is not None), default=None)


def _memory_bound(size: float) -> float:
    return max(_MEMORY, _MEMORY_SHARE * size)


def _memory_words() -> str:
    return f"{_MEMORY / MIB:.0f} MiB or {_MEMORY_SHARE:.0%} more"
