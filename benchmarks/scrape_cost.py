"""Benchmark a scrape with very many sessions: its duration, and the delay it causes.

Periods without and with scrapes alternate, because the number of sessions due per second varies:
all sessions started at the same time. Scrapes are sent as Prometheus sends them. Delays are read
from the daemon's `clkeepalived_schedule_lag_seconds`.
"""

from __future__ import annotations

import gzip
import math
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.nginx import nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.served import daemon, write_sessions

SESSIONS = 100_000
LIFETIME = 300
TURNS = 4
SCRAPES = 4
"""Scrapes in each period; the scrapes that end a period are not counted."""
EVERY = 5.0
"""Seconds between scrapes."""
DELAY_LIMIT = 0.1
"""Seconds by which a scrape may delay a keep-alive."""

# The headers that Prometheus sends.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
}
LAG = "clkeepalived_schedule_lag_seconds"


@dataclass(frozen=True, slots=True)
class Lags:
    """The lag of all keep-alives since the start: their number within each bound, and the sum."""

    counts: dict[float, float]
    total: float


def measure(_minutes: float) -> Answer:
    """Measure without and with scrapes for the same time; return the figures."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "nginx").mkdir()
        write_sessions(place, SESSIONS)
        with (
            nginx(place / "nginx", LIFETIME) as served,
            daemon(place, served.http, lifetime=LIFETIME) as running,
        ):
            running.wait_for_keep_alives(SESSIONS, within=600)
            url = running.address + "/metrics"
            _wait_for_renewals(url)
            return _watch(url)


def _wait_for_renewals(url: str) -> None:
    """Wait until renewals are evenly spread, which starts with each session's second renewal."""
    before, _ = timed_scrape(url)
    deadline = time.monotonic() + LIFETIME
    while time.monotonic() < deadline:
        time.sleep(EVERY)
        now, _ = timed_scrape(url)
        sent = now.counts[math.inf] - before.counts[math.inf]
        if sent >= EVERY * SESSIONS / LIFETIME:
            return
        before = now


def _watch(url: str) -> Answer:
    taken: list[float] = []
    without: list[tuple[Lags, Lags]] = []
    scraped: list[tuple[Lags, Lags]] = []
    for _ in range(TURNS):
        # Keep-alives delayed by a scrape are sent within a second; the pause keeps them out of the
        # next period without scrapes.
        time.sleep(1.0)
        began, _ = timed_scrape(url)
        time.sleep(SCRAPES * EVERY)
        between, _ = timed_scrape(url)
        ended = between
        for _ in range(SCRAPES):
            time.sleep(EVERY)
            ended, seconds = timed_scrape(url)
            taken.append(seconds)
        without.append((began, between))
        scraped.append((between, ended))
    return {
        "scrape_median_ms": round(1e3 * statistics.median(taken)),
        "scrape_longest_ms": round(1e3 * max(taken)),
        "without_scrapes": windows(without),
        "with_scrapes": windows(scraped),
    }


def timed_scrape(url: str) -> tuple[Lags, float]:
    """Scrape as Prometheus does; return the lags, and the seconds that the scrape took."""
    request = Request(url, headers=HEADERS)
    began = time.perf_counter()
    with urlopen(request, timeout=60) as answer:
        body = answer.read()
    seconds = time.perf_counter() - began
    text = gzip.decompress(body).decode()
    buckets = re.findall(rf'^{LAG}_bucket{{le="([^"]+)"}} (\S+)', text, flags=re.MULTILINE)
    total = re.findall(rf"^{LAG}_sum (\S+)", text, flags=re.MULTILINE)
    return Lags({float(bound): float(count) for bound, count in buckets}, float(total[0])), seconds


def windows(between: Sequence[tuple[Lags, Lags]]) -> Answer:
    """Return the lag of the keep-alives between two scrapes, for several such pairs."""
    grew = {
        bound: sum(after.counts[bound] - before.counts[bound] for before, after in between)
        for bound in between[0][0].counts
    }
    sent = grew[math.inf]
    total = sum(after.total - before.total for before, after in between)
    return {
        "keep_alives": round(sent),
        "late_by_over_100_ms": round(sent - grew[DELAY_LIMIT]),
        "lag_mean_ms": round(1e3 * total / max(1.0, sent), 1),
        "lag_at_most_ms": 1e3 * min(bound for bound, count in grew.items() if count == sent),
    }


def table(answer: Answer) -> str:
    """Return a table with one row without scrapes and one with scrapes."""
    rows = [
        (
            name.replace("_", " "),
            f"{of['keep_alives']:,}",
            f"{of['late_by_over_100_ms']}",
            f"{of['lag_mean_ms']:.1f} ms",
            f"≤ {of['lag_at_most_ms']:g} ms",
        )
        for name in ("without_scrapes", "with_scrapes")
        if (of := answer[name])
    ]
    head = ("", "keep-alives", "late by over 100 ms", "mean lag", "longest lag")
    return (
        f"A scrape takes {answer['scrape_median_ms']} ms, at most {answer['scrape_longest_ms']} "
        f"ms.\n\n{markdown(head, rows)}"
    )


ABOUT = f"""\
{SESSIONS:,} sessions, scraped every {EVERY:g} s as Prometheus scrapes."""

PART = Part(
    "scrape",
    "What does a scrape cost, and what does it delay?",
    ABOUT,
    measure,
    table,
)
