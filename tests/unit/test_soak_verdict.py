"""When a soak is failed: what grows is found, and what only goes up and down is not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.soak.report import thinned
from benchmarks.soak.samples import Sample
from benchmarks.soak.verdict import BASELINE, CHURN, END, MIB, judge, trend

MOST_TO_VCENTERS = 30
MOST_THREADS = 9
_REST = Sample(
    at=0.0,
    phase=BASELINE,
    rss=60 * MIB,
    anonymous=50 * MIB,
    descriptors=20,
    to_vcenters=5,
    threads=7,
    tasks=40,
    objects=60_000,
    state_file=MIB // 10,
    state_log=MIB,
    cpu=1.0,
)


def an_hour(grow: Callable[[Sample], Sample] = lambda sample: sample) -> list[Sample]:
    """Samples of an hour, each as `grow` makes it of one that is flat, but lively."""
    draw = random.Random(1)
    rests = [replace(_REST, at=300.0 + number) for number in range(3)]
    ends = [replace(_REST, at=3600.0 + number, phase=END) for number in range(3)]
    churn = [
        replace(
            _REST,
            at=310.0 + 5 * number,
            phase=CHURN,
            anonymous=52 * MIB + draw.randrange(-3 * MIB, 3 * MIB),
            descriptors=60 + draw.randrange(30),
            tasks=200 + draw.randrange(50),
            objects=90_000 + draw.randrange(20_000),
        )
        for number in range(650)
    ]
    return [grow(each) for each in (*rests, *churn, *ends)]


def bad(samples: list[Sample]) -> list[str]:
    return [
        each.name for each in judge(samples, MOST_TO_VCENTERS, MOST_THREADS) if not each.is_good
    ]


def at_the_end(**more: int) -> Callable[[Sample], Sample]:
    """Add something to what is left at the end."""

    def grow(sample: Sample) -> Sample:
        if sample.phase != END:
            return sample
        return replace(sample, **{name: getattr(sample, name) + n for name, n in more.items()})

    return grow


def test_an_hour_of_ups_and_downs_is_flat() -> None:
    assert bad(an_hour()) == []


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"descriptors": 1}, "descriptors at rest"),
        ({"threads": 3}, "threads at rest"),
        ({"tasks": 1}, "tasks at rest"),
        ({"objects": 1001}, "Python objects at rest"),
        ({"anonymous": 3 * MIB}, "memory at rest"),
    ],
)
def test_what_is_left_at_the_end_is_found(more: dict[str, int], name: str) -> None:
    assert bad(an_hour(at_the_end(**more))) == [name]


def test_a_pool_may_fill() -> None:
    assert bad(an_hour(at_the_end(threads=2))) == []


def test_who_is_on_the_way_out_does_not_count() -> None:
    samples = an_hour()
    samples[-3] = replace(samples[-3], tasks=45, descriptors=25)
    assert bad(samples) == []


def test_a_slow_leak_under_churn_is_found() -> None:
    def grow(sample: Sample) -> Sample:
        if sample.phase != CHURN:
            return sample
        return replace(sample, anonymous=sample.anonymous + int(sample.at / 3600 * 12 * MIB))

    assert bad(an_hour(grow)) == ["memory in the second half of the churn"]


def test_a_growing_state_file_and_log_are_found() -> None:
    def grow(sample: Sample) -> Sample:
        more = int(sample.at / 3600 * MIB)
        return replace(sample, state_file=more, state_log=12 * more)

    assert bad(an_hour(grow)) == ["state file", "write-ahead log"]


def test_more_connections_than_the_pools_may_have_are_found() -> None:
    samples = an_hour()
    samples[100] = replace(samples[100], to_vcenters=MOST_TO_VCENTERS + 1)
    assert bad(samples) == ["connections to vCenters"]


def test_a_daemon_that_does_not_tell_of_its_tasks_is_not_taken_for_flat() -> None:
    silent = [replace(each, tasks=None, objects=None) for each in an_hour()]
    assert bad(silent) == ["tasks at rest", "Python objects at rest"]


def test_there_is_no_verdict_on_too_little() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge([_REST], MOST_TO_VCENTERS, MOST_THREADS)


def test_a_trend_is_not_moved_by_outliers() -> None:
    points = [(float(at), 2.0 * at) for at in range(400)]
    points[7] = (7.0, 1e6)
    points[300] = (300.0, -1e6)
    assert trend(points) == pytest.approx(2.0)
    assert trend(points[:1]) == 0.0


def test_less_than_a_hundred_samples_are_kept_with_all_rests_and_peaks() -> None:
    samples = an_hour()
    samples[101] = replace(samples[101], state_log=7 * MIB)
    kept = thinned(samples)
    assert 60 < len(kept) < 100
    assert {each.phase for each in kept} == {BASELINE, CHURN, END}
    assert [each for each in kept if each.phase != CHURN] == [*samples[:3], *samples[-3:]]
    assert max(each.state_log for each in kept) == 7 * MIB
    assert kept == sorted(kept, key=lambda each: each.at)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    data = {"few": {"a": [1, 2.5], "b": None}, "many": [{"at": at, "of": [at]} for at in range(99)]}
    records.write(tmp_path / "record.json", data)
    text = (tmp_path / "record.json").read_text()
    assert json.loads(text) == data
    assert len(text.splitlines()) == 104  # a line for each of many
