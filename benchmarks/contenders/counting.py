"""Arguments and output shared by all contenders written in Python."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.served import session_id

SESSIONS = 20_000
"""Number of session ids used in turn, as in the daemon's measurement."""


@dataclass(frozen=True, slots=True)
class Task:
    """The target, duration in seconds, and number of concurrent requests."""

    url: str
    ca_file: Path | None
    seconds: float
    at_once: int
    loop: str


def task() -> Task:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca-file", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--loop", default="asyncio")
    options = parser.parse_args()
    return Task(options.url, options.ca_file, options.seconds, options.at_once, options.loop)


def ids() -> list[str]:
    """Return the sessions' ids."""
    return [session_id(number) for number in range(SESSIONS)]


class Count:
    """Counts keep-alives and CPU seconds since its creation."""

    def __init__(self, seconds: float) -> None:
        self.keep_alives = 0
        self._until = time.perf_counter() + seconds
        self._began = time.process_time()

    def goes_on(self) -> bool:
        """Count one keep-alive; return whether time remains for another."""
        self.keep_alives += 1
        return time.perf_counter() < self._until

    def report(self) -> None:
        """Print the counts as JSON."""
        cpu = time.process_time() - self._began
        print(json.dumps({"keep_alives": self.keep_alives, "cpu_seconds": cpu}))
