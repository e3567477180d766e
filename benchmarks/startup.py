"""Benchmark the start of the daemon and of short commands."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.nginx import nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.served import daemon, write_sessions

RUNS = 10
SESSIONS = 10
_CLI = (sys.executable, "-m", "keepalived.cli")


def measure(_minutes: float) -> Answer:
    """Run the commands in turns; return medians and ranges in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "nginx").mkdir()
        write_sessions(place, SESSIONS)
        with nginx(place / "nginx") as served:

            def ready() -> float:
                with daemon(place, served.http, observe="files") as running:
                    return running.ready_after

            taken: dict[str, list[float]] = {}
            with daemon(place, served.http, observe="files") as running:
                environ = {**os.environ, "CLKEEPALIVED_SOCKET": str(place / "control.sock")}
                running.wait_for_keep_alives(SESSIONS, within=30)
                commands = {
                    "python -c ''": (sys.executable, "-c", ""),
                    "clkeepalived --version": (*_CLI, "--version"),
                    "clkeepalived status": (*_CLI, "status"),
                }
                ways: dict[str, Callable[[], float]] = {
                    name: _timed(command, environ) for name, command in commands.items()
                }
                _take_turns(ways, taken)
            _take_turns({"clkeepalived serve, until READY": ready}, taken)
    return {
        name: {
            "median_ms": round(1e3 * statistics.median(seconds)),
            "least_ms": round(1e3 * min(seconds)),
            "most_ms": round(1e3 * max(seconds)),
        }
        for name, seconds in taken.items()
    }


def _take_turns(ways: dict[str, Callable[[], float]], taken: dict[str, list[float]]) -> None:
    for turn in range(RUNS + 1):
        for name, way in ways.items():
            seconds = way()
            if turn:  # the first turn reads from the disk
                taken.setdefault(name, []).append(seconds)


def _timed(command: tuple[str, ...], environ: dict[str, str]) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return run


def table(answer: Answer) -> str:
    """Return a table with a row for each command."""
    rows = [
        (f"`{name}`", f"{of['median_ms']} ms", f"{of['least_ms']} to {of['most_ms']} ms")
        for name, of in answer.items()
    ]
    return markdown(("command", "median", "range"), rows)


ABOUT = """\
Whole processes, measured in turn. `serve` holds ten sessions, with a state file, and is timed until
it reports READY to systemd."""

PART = Part("startup", "How long does it take to start?", ABOUT, measure, table)
