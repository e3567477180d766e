"""What a scrape costs while very many sessions are held: its time, and what it delays.

Runs `clkeepalived serve` on a file of sessions against nginx, which answers every keep-alive with
204 at once and writes down when each arrived. Keep-alives are sent for a while without a scrape,
and for as long while scrapes come, as Prometheus asks for them. Delays are told twice: by the
daemon's own `clkeepalived_schedule_lag_seconds`, and by the longest silence that nginx saw. Needs
nginx on the path. The first line printed is JSON, for programs; the table after it says the same.

    python benchmarks/scrape_cost.py --sessions 100000
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from steady_load import CONFIG, NGINX, free_port, wait_for

SCRAPE_LIMIT, DELAY_LIMIT = 0.5, 0.1
"""Seconds that a scrape may take, and that it may delay a keep-alive."""

# As Prometheus asks.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
}
LAG = "clkeepalived_schedule_lag_seconds"


@dataclass(frozen=True, slots=True)
class Lags:
    """How late keep-alives were sent since the start: how many within a bound, and the sum."""

    counts: dict[float, float]
    total: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--lifetime", type=int, default=300, help="seconds")
    parser.add_argument("--scrapes", type=int, default=12)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between scrapes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with held(directory, options.sessions, options.lifetime) as url:
            wait_for_renewals(url, options.sessions / options.lifetime)
            figures = measure(directory, url, options.scrapes, options.every)
    figures = {"benchmark": "scrape_cost", "sessions": options.sessions, **figures}
    print(json.dumps(figures), flush=True)
    report(figures)


@contextmanager
def held(directory: Path, sessions: int, lifetime: int) -> Iterator[str]:
    """Run a daemon until the block is left, entered when each session has been renewed once.

    Yields the URL of its metrics. Arrivals of requests are written to `directory`/arrivals.
    """
    port, http = free_port(), free_port()
    (directory / "nginx.conf").write_text(
        NGINX.format(directory=directory, port=port).replace(
            "access_log off;",
            "log_format arrival '$msec $request_method';\n"
            f"  access_log {directory}/arrivals arrival buffer=64k flush=1s;",
        )
    )
    (directory / "config.yaml").write_text(
        CONFIG.format(directory=directory, port=port, http=http, lifetime=lifetime)
    )
    (directory / "sessions.yaml").write_text(
        "sessions:\n" + "".join(f"- {{id: session-{number:06d}}}\n" for number in range(sessions))
    )
    nginx = subprocess.Popen(["nginx", "-c", directory / "nginx.conf", "-p", directory])
    serve = [sys.executable, "-m", "keepalived.cli", "serve", "--config", directory / "config.yaml"]
    environ = {**os.environ, "BENCH_PASSWORD": "bench"}
    url = f"http://127.0.0.1:{http}/metrics"
    with (directory / "log").open("wb") as log:
        daemon = subprocess.Popen(serve, env=environ, stderr=log, stdout=log)
    try:
        wait_for(url)
        while active(url) < sessions:
            time.sleep(2.0)
        yield url
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(30)
        nginx.terminate()
        nginx.wait(10)


def active(url: str) -> int:
    """Return how many sessions have been renewed, and live."""
    with urlopen(url, timeout=30) as answer:  # noqa: S310 - our own daemon
        text = answer.read().decode()
    found = re.search(r'^clkeepalived_sessions{.*state="ACTIVE"} (\S+)', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def wait_for_renewals(url: str, rate: float) -> None:
    """Wait until that many keep-alives are sent a second: the crowd's second ones come late."""
    sent = 0.0
    while True:
        lags, _ = timed_scrape(url)
        if 0 < sent <= lags.counts[math.inf] - 5 * rate:
            return
        sent = lags.counts[math.inf]
        time.sleep(5.0)


def measure(directory: Path, url: str, scrapes: int, every: float) -> dict[str, Any]:
    """Let it run without scrapes, and as long with them; return the figures, in seconds."""
    time.sleep(every)
    first, _ = timed_scrape(url)
    began_quiet = time.time()
    time.sleep(scrapes * every)
    ended_quiet = time.time()
    between, _ = timed_scrape(url)
    began = time.time()
    taken: list[float] = []
    last = between
    for _ in range(scrapes):
        time.sleep(every)
        last, seconds = timed_scrape(url)
        taken.append(seconds)
    ended = time.time()
    time.sleep(2.0)  # nginx writes once a second
    arrivals = [
        float(moment)
        for moment, method in map(str.split, (directory / "arrivals").read_text().splitlines())
        if method == "POST"
    ]
    quiet = window(first, between, longest_silence(arrivals, began_quiet, ended_quiet))
    scraped = window(between, last, longest_silence(arrivals, began, ended))
    return {
        "scrape_median_seconds": statistics.median(taken),
        "scrape_longest_seconds": max(taken),
        "keep_alives_per_second": scraped["keep_alives"] / (ended - began),
        "without_scrapes": quiet,
        "with_scrapes": scraped,
        "within_limits": max(taken) < SCRAPE_LIMIT and not scraped["late_by_over_100_ms"],
    }


def timed_scrape(url: str) -> tuple[Lags, float]:
    """Scrape as Prometheus does; return what it says of lags, and the seconds it took."""
    request = Request(url, headers=HEADERS)  # noqa: S310 - our own daemon
    began = time.perf_counter()
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        body = answer.read()
    seconds = time.perf_counter() - began
    text = gzip.decompress(body).decode()
    buckets = re.findall(rf'^{LAG}_bucket{{le="([^"]+)"}} (\S+)', text, flags=re.MULTILINE)
    total = re.findall(rf"^{LAG}_sum (\S+)", text, flags=re.MULTILINE)
    return Lags({float(bound): float(count) for bound, count in buckets}, float(total[0])), seconds


def window(before: Lags, after: Lags, silence: float) -> dict[str, float]:
    """Return how late the keep-alives between two scrapes were sent."""
    grew = {bound: count - before.counts[bound] for bound, count in after.counts.items()}
    sent = grew[math.inf]
    return {
        "keep_alives": sent,
        "late_by_over_100_ms": sent - grew[DELAY_LIMIT],
        "lag_mean_seconds": (after.total - before.total) / max(1.0, sent),
        "lag_at_most_seconds": min(bound for bound, count in grew.items() if count == sent),
        "longest_silence_seconds": silence,
    }


def longest_silence(arrivals: list[float], began: float, ended: float) -> float:
    """Return the longest time without an arrival between two moments."""
    within = [began, *(moment for moment in sorted(arrivals) if began < moment < ended), ended]
    return max(later - earlier for earlier, later in pairwise(within))


def report(figures: dict[str, Any]) -> None:
    print(f"sessions held         {figures['sessions']}")
    print(f"keep-alives a second  {figures['keep_alives_per_second']:.0f}")
    print(
        f"a scrape takes        {1000 * figures['scrape_median_seconds']:.0f} ms, "
        f"at most {1000 * figures['scrape_longest_seconds']:.0f} ms"
    )
    print(
        f"{'':21} {'keep-alives':>12} {'late > 100 ms':>14} {'mean lag':>9} {'at most':>8}"
        f" {'silence':>8}"
    )
    for name in ("without_scrapes", "with_scrapes"):
        row = figures[name]
        print(
            f"{name.replace('_', ' '):21} {row['keep_alives']:12.0f}"
            f" {row['late_by_over_100_ms']:14.0f} {1000 * row['lag_mean_seconds']:6.1f} ms"
            f" {1000 * row['lag_at_most_seconds']:5.0f} ms"
            f" {1000 * row['longest_silence_seconds']:5.0f} ms"
        )


if __name__ == "__main__":
    main()
