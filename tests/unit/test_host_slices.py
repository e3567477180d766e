"""A scrape of very many sessions runs in many small steps, with the same result."""

from __future__ import annotations

import asyncio
from itertools import groupby
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.registry import Collector

from keepalived.host.slices import Slices, SliceTimer, run_in_slices
from keepalived.keeper.snapshot import VCenterView
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.exposition import Gauge
from keepalived.observe.state import StateExporter
from tests.support.engine import LoopClock
from tests.support.sessions import a_session, engine_view_of

LAB = VCenterView("lab", up=True, in_flight=0, utilization=0.0)


class Family(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


async def test_everybody_else_has_several_turns_after_each_step() -> None:
    """A request takes more than one: its worker is woken, sends, and is woken by the answer."""
    told: list[str] = []

    def steps() -> Slices[str]:
        for number in range(3):
            told.append(f"step {number}")
            yield
        return "done"

    async def renew() -> None:
        while True:
            told.append("renewal")
            await asyncio.sleep(0)

    renewing = asyncio.create_task(renew())
    assert await run_in_slices(steps()) == "done"
    renewing.cancel()

    turns = [len(list(each)) for what, each in groupby(told) if what == "renewal"]
    assert told[0] == "step 0"
    assert len(turns) == 3
    # One with a pause of a single turn; how many more there are depends on the machine.
    assert min(turns) >= 2


def test_a_slice_is_over_after_its_time_and_the_next_one_begins_after_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("keepalived.host.slices.time", clock)

    def asked_after(seconds: float) -> bool:
        now[0] += seconds
        return timer.is_over()

    timer = SliceTimer()
    assert [asked_after(0.001) for _ in range(4)] == [False, False, False, True]
    # However long the pause was, there is time for work after it.
    assert [asked_after(each) for each in (10.0, 0.002, 0.002)] == [False, False, True]


async def test_ten_times_the_sessions_take_ten_times_the_steps_and_no_longer_ones() -> None:
    def steps_for(count: int) -> int:
        crowd = tuple(
            a_session(SessionKey("lab", Kind.UPDATE, str(number))) for number in range(count)
        )
        exporter = StateExporter(LoopClock(), max_sessions=count)
        return sum(1 for _ in exporter.text(engine_view_of(0.0, crowd, (LAB,))))

    assert steps_for(20_000) > 8 * steps_for(2_000) > 8 * 10


def test_the_text_is_what_the_library_writes_in_either_format() -> None:
    family = GaugeMetricFamily("clkeepalived_x", "What it is.", labels=("a", "b"))
    gauge = Gauge("x", "What it is.", ("a", "b"))
    series: list[tuple[tuple[str, str], float]] = [
        (("plain", str(value)), value)
        for value in (0, 1, True, -0.25, 1e9, 1_700_000_150.123, float("inf"), float("nan"))
    ]
    for labels, value in (*series, (('"quoted"\\ 5 %s and\ntwo lines', "süß"), 3)):
        family.add_metric(labels, value)
        gauge.add(labels, value)
    registry = CollectorRegistry()
    registry.register(Family(family))

    assert gauge.text == generate_latest(registry).decode()
    assert gauge.text + "# EOF\n" == openmetrics(registry).decode()  # type: ignore[no-untyped-call]
