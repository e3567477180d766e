"""Benchmark a nearly idle daemon: none and ten sessions, with default settings."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.nginx import nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.served import daemon, write_sessions

SIZES = (0, 10)
LIFETIME = 300
OBSERVE = "files"


def measure(minutes: float) -> Answer:
    """Measure daemons for `minutes` after their first renewals."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = stack.enter_context(nginx(place, LIFETIME))
        running = {}
        for size in SIZES:
            (place / str(size)).mkdir()
            write_sessions(place / str(size), size)
            running[size] = stack.enter_context(
                daemon(place / str(size), served.http, lifetime=LIFETIME, observe=OBSERVE)
            )
            running[size].wait_for_keep_alives(size, within=30)
        time.sleep(5)
        before = {size: each.cpu_seconds() for size, each in running.items()}
        began = time.monotonic()
        time.sleep(60 * minutes)
        hours = (time.monotonic() - began) / 3600
        return {
            "minutes": minutes,
            **{
                str(size): {
                    "cpu_seconds_per_hour": round((each.cpu_seconds() - before[size]) / hours, 2),
                    "resident_mib": round(each.memory() / 2**20, 1),
                }
                for size, each in running.items()
            },
        }


def table(answer: Answer) -> str:
    """Return a table with a row for each number of sessions."""
    rows = [
        (
            f"{size}",
            f"{answer[str(size)]['cpu_seconds_per_hour']:.2f} s",
            f"{answer[str(size)]['resident_mib']:.0f} MiB",
        )
        for size in SIZES
    ]
    return markdown((f"sessions, `observe: {OBSERVE}`", "CPU an hour", "resident"), rows)


ABOUT = """\
Other settings are the defaults, against nginx. CPU time is extrapolated from the measured time."""

PART = Part("idle", "What does a nearly idle daemon cost?", ABOUT, measure, table)
