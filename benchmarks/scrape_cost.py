"""What a scrape costs while very many sessions are held: its time, and what it delays.

Keep-alives are sent for a while without a scrape, for as long while scrapes come, as Prometheus
asks for them, and so on by turns: how many fall due in a second goes up and down with the crowd
that came together. Delays are told by the daemon's own `clkeepalived_schedule_lag_seconds`.
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
"""In each turn; those that end one, with scrapes or without, are not counted."""
EVERY = 5.0
"""Seconds between scrapes."""
DELAY_LIMIT = 0.1
"""Seconds that a scrape may delay a keep-alive."""

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


def measure(_minutes: float) -> Answer:
    """Let it run without scrapes, and as long with them; return the figures, in seconds."""
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
    """Wait until they are in full swing: the crowd's second ones come late, and spread."""
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
        # What a scrape delays is sent within the second, and belongs to no turn without them.
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
    """Scrape as Prometheus does; return what it says of lags, and the seconds it took."""
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
    """Return how late the keep-alives between two scrapes were sent, for several such pairs."""
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
    """Return a row without scrapes, and one with them."""
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

PART = Part("scrape", "What does a scrape cost, and what does it delay?", ABOUT, measure, table)
