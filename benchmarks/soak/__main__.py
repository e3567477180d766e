"""Command line of the soak. Exit code 1 means that something grew or a session was lost."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path

from benchmarks.findings import Finding, report_and_exit, run_checks
from benchmarks.soak import report
from benchmarks.soak.churn import Churn
from benchmarks.soak.samples import Sample, Sampler
from benchmarks.soak.site import Caller, Site, a_site
from benchmarks.soak.surroundings import Surroundings
from benchmarks.soak.verdict import BASELINE, CHURN, END, judge

WARM_UP = "warm-up"
MOST_IN_FLIGHT = 8
_POOL_EXTRA = 2  # what keepalived/vcenter/transport.py adds to max_in_flight
_MOST_THREADS = 1 + 1 + min(32, (os.cpu_count() or 1) + 4) + 4
"""Threads of the loop, the store, asyncio's pool, and with uvloop libuv's pool."""

_STANDING = 5
_LIFETIME = 60.0
"""Seconds, generous since other work on the machine may delay both sides."""
_SHORT_LIFETIME = 20.0
"""Lifetime for soaks of a few minutes, which would otherwise have few renewals."""
_LONG_MINUTES = 10.0
_REST_SECONDS = 60.0
_REST_SAMPLES = 3
_MOST_SHOWN = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="total time of warm-up, churn and rests"
    )
    parser.add_argument("--results", type=Path, help="folder for soak.md, soak.json and soak.svg")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.results is not None:
        options.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak.") as name:
        folder = Path(name)
        soaking = soak(folder, options.minutes, options.seed, options.results)
        findings = run_checks(soaking, partial(_log_tail, folder / "log"))
    report_and_exit(findings)


def _log_tail(log: Path) -> str:
    """Return the end of the daemon's log, printed when a soak fails."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-_MOST_SHOWN:])


async def soak(folder: Path, minutes: float, seed: int, results: Path | None) -> list[Finding]:
    """Run one soak; return its findings. `folder` is empty and is removed afterwards."""
    ends_at = time.monotonic() + 60 * minutes
    samples: list[Sample] = []
    lifetime = _SHORT_LIFETIME if minutes < _LONG_MINUTES else _LIFETIME
    async with a_site(folder, _STANDING, lifetime) as site, site.daemon() as process:
        at = await site.listen_address(process)
        sampler = Sampler(process.pid, site.ports, site.state, folder / "probe.json")
        async with _standing(site):
            warm_up = min(300.0, 8 * minutes)
            every = min(5.0, max(1.0, minutes))
            look = partial(_look, site, sampler, samples, every)
            await _churn(site, process.pid, at, seed, time.monotonic() + warm_up, look, WARM_UP)
            rested = await _rest(site, sampler, samples, BASELINE)
            left = (ends_at - time.monotonic()) - rested
            until = time.monotonic() + max(10.0, left)
            await _churn(site, process.pid, at, seed + 1, until, look, CHURN)
            await _rest(site, sampler, samples, END)
            await _check_for_expired(site)
            grown = sampler.types[-1] - sampler.types[_REST_SAMPLES - 1]
        process.terminate()
        code = await process.wait()
        most = (MOST_IN_FLIGHT + _POOL_EXTRA) * len(site.simulators)
        most_grown = ", ".join(f"{name} {more:+}" for name, more in grown.most_common(_MOST_SHOWN))
        print(f"more objects at rest: {most_grown or 'none'}", file=sys.stderr)
        findings = [*judge(samples, most, _MOST_THREADS), *_losses(site, code)]
        if results is not None:
            report.write(
                results,
                findings,
                samples,
                site.counts,
                minutes=minutes,
                lifetime=lifetime,
                standing=len(site.alive),
            )
    return findings


@asynccontextmanager
async def _standing(site: Site) -> AsyncIterator[None]:
    """Hold some sessions of each kind of owner for the whole soak."""
    async with AsyncExitStack() as stack:
        process = await asyncio.create_subprocess_exec("sleep", "86400")
        stack.callback(process.kill)
        for owner in (None, {"pid": process.pid}, {"connection": True}):
            for _ in range(_STANDING):
                session_id = site.open("old")
                caller = await stack.enter_async_context(Caller(site.socket))
                path = f"/v1/sessions/old/{session_id}"
                answer = await caller.stream("PUT", path, {"owner": owner})
                if answer.status != HTTPStatus.CREATED:
                    raise RuntimeError(f"a standing hold was refused: {await answer.text()}")
                site.must_live("old", session_id)
        for session_id in site.standing:
            site.must_live("lab", session_id)
        yield
        site.look_for_losses()


async def _churn(
    site: Site,
    pid: int,
    at: str,
    seed: int,
    until: float,
    look: Callable[[str], Awaitable[None]],
    phase: str,
) -> None:
    """Run all churn until a time on the monotonic clock, and then stop it."""
    over = asyncio.Event()
    churn = Churn(site, over)
    around = Surroundings(site, over, pid, at)
    parts: list[Callable[[random.Random], Coroutine[None, None, None]]] = [
        *[churn.by_ttl] * 8,
        *[churn.by_nothing] * 6,
        *[churn.by_process] * 6,
        *[churn.by_connection] * 6,
        *[churn.by_transfer] * 2,
        *[partial(churn.by_file, number=number) for number in range(4)],
        *[churn.unregistered] * 3,
        around.faults,
        around.reloads,
        around.scrapes,
        around.page,
        around.askers,
        *[around.listeners] * 3,
    ]
    async with asyncio.TaskGroup() as tasks:
        for number, part in enumerate(parts):
            tasks.create_task(part(random.Random(1000 * seed + number)))  # noqa: S311
        while time.monotonic() < until:
            await look(phase)
        over.set()


async def _look(
    site: Site, sampler: Sampler, samples: list[Sample], every: float, phase: str
) -> None:
    began = time.monotonic()
    samples.append(await sampler.take(phase))
    site.look_for_losses()
    await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))


async def _rest(site: Site, sampler: Sampler, samples: list[Sample], phase: str) -> float:
    """Wait until only the standing holds are left, then sample; return the seconds of waiting."""
    began = time.monotonic()
    for simulator in site.simulators.values():
        simulator.faults.clear()
    known = -1
    async with Caller(site.socket) as caller:
        while time.monotonic() < began + _REST_SECONDS:
            _, answer = await caller.send("GET", "/v1/sessions")
            known = len(answer["sessions"])
            if known == len(site.alive):
                break
            await asyncio.sleep(0.5)
        else:
            site.complaints.append(f"{known} sessions are known at rest, not {len(site.alive)}")
    await asyncio.sleep(1.0)
    for _ in range(_REST_SAMPLES):
        samples.append(await sampler.take(phase, tidily=True))
        await asyncio.sleep(1.0)
    return time.monotonic() - began


async def _check_for_expired(site: Site) -> None:
    """Check in the daemon's metrics that no held session has expired."""
    states = Counter(
        str(event["state"]) for event in site.events() if event.get("event") == "session_ended"
    )
    for state, number in states.items():
        site.counts[f"sessions ended as {state}"] += number
    if states["EXPIRED"]:
        site.complaints.append(f"{states['EXPIRED']} sessions EXPIRED according to the daemon")


def _losses(site: Site, code: int) -> list[Finding]:
    for event in site.events():
        if "exception" in event:
            site.complaints.append(f"{event['event']}: {event['exception']}")
    for line in (*site.lost, *site.complaints)[:_MOST_SHOWN]:
        print(line, file=sys.stderr)
    opened = site.counts["sessions opened"]
    return [
        Finding("sessions lost", f"{len(site.lost)} of {opened:,}", "0", not site.lost),
        Finding("complaints", str(len(site.complaints)), "0", not site.complaints),
        Finding("exit code of the daemon", str(code), "0", code == 0),
    ]


if __name__ == "__main__":
    main()
