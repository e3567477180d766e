"""Benchmark holding many sessions over time: lag, late renewals, CPU and memory.

Real lifetimes of 300 s. All sizes run at once, each in its own daemon against the same nginx.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.nginx import nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.plots import figure
from benchmarks.served import Daemon, at_most, daemon, grown, write_sessions

SIZES = (1_000, 10_000, 100_000)
LIFETIME = 300

_LAG = "clkeepalived_schedule_lag_seconds"
_LATE = 1.0
"""Seconds after which a renewal counts as late."""


def measure(minutes: float) -> Answer:
    """Hold all sizes for `minutes`."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (place / "nginx").mkdir()
        served = stack.enter_context(nginx(place / "nginx", LIFETIME))
        running: dict[int, Daemon] = {}
        for size in SIZES:
            directory = place / str(size)
            directory.mkdir()
            write_sessions(directory, size)
            running[size] = stack.enter_context(daemon(directory, served.http, lifetime=LIFETIME))
            running[size].wait_for_keep_alives(size, within=300)
            print(f"{size} sessions are held", file=sys.stderr)
        # The third renewal is the first that sends no reads and is no longer spread out.
        time.sleep(min(60.0 * minutes, LIFETIME * 1.1))
        first = {size: (each.metrics(), each.cpu_seconds()) for size, each in running.items()}
        began = time.monotonic()
        time.sleep(60 * minutes)
        seconds = time.monotonic() - began
        return {
            "minutes": minutes,
            **{str(size): _figures(running[size], *first[size], seconds) for size in SIZES},
        }


def _figures(running: Daemon, before: dict[str, float], cpu: float, seconds: float) -> Answer:
    cpu = running.cpu_seconds() - cpu
    grew = grown(before, running.metrics())
    taken = grew[f"{_LAG}_count"]
    renewals = grew["clkeepalived_keep_alives_total{outcome=ok}"]
    return {
        "renewals": round(renewals),
        "renewals_per_second": round(renewals / seconds, 1),
        "late_by_over_1_s": round(taken - grew[f"{_LAG}_bucket{{le={_LATE}}}"]),
        "mean_lag_ms": round(1e3 * grew[f"{_LAG}_sum"] / taken, 2),
        "p99_lag_at_most_ms": 1e3 * at_most(grew, _LAG, 0.99),
        "longest_lag_at_most_ms": 1e3 * at_most(grew, _LAG, 1.0),
        "cpu_percent": round(100 * cpu / seconds, 2),
        "cpu_us_per_renewal": round(1e6 * cpu / renewals),
        "resident_mib": round(running.memory() / 2**20, 1),
    }


def table(answer: Answer) -> str:
    """Return a table with a row for each number of sessions."""
    rows = [
        (
            f"{size:,}",
            f"{of['renewals']:,}",
            f"{of['late_by_over_1_s']}",
            f"{of['mean_lag_ms']:.1f} ms",
            f"≤ {of['p99_lag_at_most_ms']:g} ms",
            f"≤ {of['longest_lag_at_most_ms']:g} ms",
            f"{of['cpu_percent']:.1f} %",
            f"{of['cpu_us_per_renewal']} µs",
            f"{of['resident_mib']:.0f} MiB",
        )
        for size in SIZES
        if (of := answer.get(str(size)))
    ]
    head = (
        *("sessions", "renewals", "late by over 1 s", "mean lag", "p99 lag", "longest lag"),
        *("of a core", "CPU a renewal", "resident"),
    )
    minutes = f"Lifetimes of {LIFETIME} s, {answer['minutes']:g} minutes, `observe: minimal`."
    return f"{minutes}\n\n{markdown(head, rows)}"


def plot(answer: Answer, path: Path) -> None:
    """Draw lag and CPU over the number of sessions."""
    sizes = [size for size in SIZES if str(size) in answer]
    with figure(path, "Sessions held at a lifetime of 300 s", columns=2, size=(9.2, 3.4)) as (
        left,
        right,
    ):
        for name, label in (("mean_lag_ms", "mean"), ("p99_lag_at_most_ms", "p99, at most")):
            left.plot(sizes, [answer[str(size)][name] for size in sizes], "o-", label=label)
        left.axhline(50, color="tab:red", linestyle=":", label="aim for p99")
        left.set(xscale="log", yscale="log", xlabel="sessions", ylabel="schedule lag in ms")
        left.legend()
        right.plot(sizes, [answer[str(size)]["cpu_percent"] for size in sizes], "o-")
        right.axhline(30, color="tab:red", linestyle=":", label="aim at 100,000")
        right.set(xscale="log", yscale="log", xlabel="sessions", ylabel="% of a core")
        right.legend()


ABOUT = """\
Each number of sessions is held by its own daemon against nginx, all at the same time. Lag is the
delay between a session's due time and the attempt, read from the daemon's histogram."""

PART = Part("steady", "What does holding many sessions cost?", ABOUT, measure, table, plot)
