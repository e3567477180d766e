"""Write the findings of a soak as a page, JSON and a plot."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from benchmarks import records
from benchmarks.findings import Finding
from benchmarks.soak import plot
from benchmarks.soak.samples import Sample
from benchmarks.soak.verdict import BASELINE, END

_MOST_SAMPLES = 80
_MEASURES = tuple(each.name for each in fields(Sample) if each.name not in ("at", "phase", "cpu"))

_HEAD = """\
# Soak

`make soak` writes this page. One `clkeepalived serve` runs under churn for {minutes:g} min of real
time. Holds of every kind of owner come and go. Session files and the configuration are rewritten,
sometimes with errors. Three simulated vCenters have one fault after the other. Metrics, page,
events and control socket are read all the time. Sessions live {lifetime:g} s without activity.

Machine: {machine}.

![memory, descriptors, threads, tasks, objects and state file over time](soak.svg)

| what | seen | allowed | |
| --- | --- | --- | --- |
"""
_TAIL = """
"At rest" is after a warm-up and at the end, when all churn has stopped, ended sessions are
forgotten, garbage is collected, and the same {standing} sessions are held. Trends are medians of
all slopes between two samples. The curves and soak.json keep some of the samples: at even
distances, all at rest, and each peak. The daemon used {cpu:.0f} s of CPU.

Operations during the soak:

| | |
| --- | --- |
"""


def write(
    folder: Path,
    findings: Sequence[Finding],
    samples: Sequence[Sample],
    counts: Mapping[str, int],
    *,
    minutes: float,
    lifetime: float,
    standing: int,
) -> None:
    """Write soak.md, soak.json and soak.svg."""
    page = _HEAD.format(minutes=minutes, lifetime=lifetime, machine=machine())
    for each in findings:
        verdict = "good" if each.is_good else "**NO**"
        page += f"| {each.name} | {each.seen} | {each.allowed} | {verdict} |\n"
    page += _TAIL.format(standing=standing, cpu=samples[-1].cpu)
    for name, count in sorted(counts.items()):
        page += f"| {name} | {count:,} |\n"
    (folder / "soak.md").write_text(page, encoding="utf-8")
    kept = thinned(samples)
    data = {
        "machine": machine(),
        "minutes": minutes,
        "findings": [asdict(each) for each in findings],
        "counts": dict(sorted(counts.items())),
        "measures": [each.name for each in fields(Sample)],
        "samples": [each.as_row() for each in kept],
    }
    records.write(folder / "soak.json", data)
    plot.draw(kept, folder / "soak.svg")


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """Return fewer than 100 samples: some at even distances, all at rest, and each peak."""
    step = -(-len(samples) // _MOST_SAMPLES)
    peaks = (max(samples, key=lambda each: getattr(each, name) or 0) for name in _MEASURES)
    kept = {id(each) for each in (*samples[::step], *peaks)}
    return [each for each in samples if id(each) in kept or each.phase in (BASELINE, END)]


def machine() -> str:
    """Describe the machine: processor, cores, kernel, Python."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    kernel = platform.release().partition("-")[0]
    return f"{model}, {os.cpu_count()} cores, Linux {kernel}, Python {platform.python_version()}"
