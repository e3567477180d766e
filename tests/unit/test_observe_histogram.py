"""The daemon's own histogram says what the library's would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from keepalived.observe.histogram import QuickHistogram

BOUNDS = (0, 0.005, 1, 2.5, 60)


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100))))
def test_it_is_exposed_as_the_librarys_own(values: list[float]) -> None:
    exposed = []
    for kind in (Histogram, QuickHistogram):
        registry = CollectorRegistry()
        histogram = kind("taken_seconds", "Time.", buckets=BOUNDS, registry=registry)
        for value in values:
            histogram.observe(value)
        lines = generate_latest(registry).decode().splitlines()
        exposed.append([line for line in lines if "_created" not in line])
    assert exposed[0] == exposed[1]
