"""The soak's background load: faults of the vCenters, reloads, scrapes and readers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

import aiohttp

from benchmarks.soak.site import Caller, Site
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail, Hang, Latency, Reset, Truncate, UnknownRoute

LONGEST_OUTAGE = 4.0
"""Seconds; a fifth of the shortest lifetime in use, so the daemon bridges it."""

_LONGEST_LATENCY = 1.0
PAGE = "/"
PAGE_FILES = ("/page.css", "/page.js", "/page.svg")
_LOOKS_AT_PAGE = 20
_KEEP_ALIVE = "*.keep_alive"


def _outage(simulator: Simulator, draw: random.Random) -> None:
    simulator.restart(down_seconds=draw.uniform(0.2, LONGEST_OUTAGE))


def _amnesia(simulator: Simulator, draw: random.Random) -> None:
    simulator.restart(lose_tokens=True, down_seconds=draw.uniform(0.0, 1.0))


def _unavailable(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Fail(503, retry_after=1), seconds=draw.uniform(0.5, LONGEST_OUTAGE))


def _too_many(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Fail(429), count=draw.randrange(1, 20), seconds=LONGEST_OUTAGE)


def _unauthenticated(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Fail(401), route=_KEEP_ALIVE, count=draw.randrange(1, 10))


def _internal_error(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Fail(500), route="*_session.*", count=draw.randrange(1, 10))


def _resets(simulator: Simulator, draw: random.Random) -> None:
    first = draw.random() < 0.5
    simulator.faults.add(Reset(act_first=first), count=draw.randrange(1, 10))


def _slowness(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Latency(draw.uniform(0.05, _LONGEST_LATENCY)), seconds=LONGEST_OUTAGE)


def _hangs(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Hang(), route=_KEEP_ALIVE, count=draw.randrange(1, 5))


def _broken_answers(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(Truncate(), count=draw.randrange(1, 10), seconds=LONGEST_OUTAGE)


def _unknown_route(simulator: Simulator, draw: random.Random) -> None:
    simulator.faults.add(UnknownRoute(), route=_KEEP_ALIVE, count=draw.randrange(1, 4))


FAULTS: tuple[Callable[[Simulator, random.Random], None], ...] = (
    _outage,
    _amnesia,
    _unavailable,
    _too_many,
    _unauthenticated,
    _internal_error,
    _resets,
    _slowness,
    _hangs,
    _broken_answers,
    _unknown_route,
)


class Surroundings:
    """All tasks that hold no sessions. Each public method runs until `over` is set."""

    def __init__(self, site: Site, over: asyncio.Event, pid: int, listening_at: str) -> None:
        self._site = site
        self._over = over
        self._pid = pid
        self._at = listening_at

    async def faults(self, draw: random.Random) -> None:
        """Inject one fault after the other, with time between them to recover."""
        while not self._over.is_set():
            await self._pause(draw.uniform(2.0, LONGEST_OUTAGE))
            if self._over.is_set():
                break
            name = draw.choice(list(self._site.simulators))
            fault = draw.choice(FAULTS)
            fault(self._site.simulators[name], draw)
            self._site.counts[f"fault: {fault.__name__.strip('_').replace('_', ' ')}"] += 1
            await self._pause(2 * LONGEST_OUTAGE)
            self._site.simulators[name].faults.clear()

    async def reloads(self, draw: random.Random) -> None:
        """Rewrite the configuration, sometimes with errors, and reload it."""
        async with Caller(self._site.socket) as caller:
            while not self._over.is_set():
                await self._pause(draw.uniform(2.0, 6.0))
                is_broken = draw.random() < 0.3
                self._site.write_config(
                    observe=draw.choice(["files", "state", "minimal"]),
                    in_flight=draw.choice([4, 8]),
                    guest=draw.random() < 0.7,
                    more="sesion_files: []" if is_broken else "",
                )
                if draw.random() < 0.5:
                    self._signal(signal.SIGHUP)
                    self._site.counts["reloads by signal"] += 1
                    continue
                status, answer = await caller.send("POST", "/v1/reload")
                self._site.counts["reloads by request"] += 1
                if (status == HTTPStatus.OK) is is_broken:
                    self._site.complaints.append(f"a reload was answered by {status}: {answer}")
            # No discovered sessions at rest: it is unknown when their ends are noticed.
            self._site.write_config(guest=False)
            await caller.send("POST", "/v1/reload")

    async def scrapes(self, _draw: random.Random) -> None:
        """Scrape as Prometheus does, on one connection, and ask for health on new ones."""
        async with aiohttp.ClientSession() as http:
            while not self._over.is_set():
                await self._get(http, "/metrics")
                async with aiohttp.ClientSession() as other:
                    await self._get(other, "/healthz")
                    await self._get(other, "/readyz")
                await self._pause(1.0)

    async def page(self, _draw: random.Random) -> None:
        """Request the page as an open browser does, sometimes closed and opened again."""
        while not self._over.is_set():
            async with aiohttp.ClientSession() as browser:
                for file in PAGE_FILES:
                    await self._get(browser, file)
                for _ in range(_LOOKS_AT_PAGE):
                    if not self._over.is_set():
                        await self._get(browser, PAGE)
                        await self._pause(2.0)

    async def listeners(self, draw: random.Random) -> None:
        """Read the event stream for a while; some listeners stop reading before they close it."""
        while not self._over.is_set():
            async with Caller(self._site.socket) as caller:
                answer = await caller.stream("GET", "/v1/events")
                self._site.counts["event streams"] += 1
                pause = draw.uniform(0.5, 5.0)
                if draw.random() < 0.8:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            async for _ in answer.content:
                                self._site.counts["events heard"] += 1
                else:
                    await self._pause(pause)
                answer.close()

    async def askers(self, draw: random.Random) -> None:
        """Query the control socket."""
        async with Caller(self._site.socket) as caller:
            while not self._over.is_set():
                for path in ("/v1/status", "/v1/sessions", "/v1/vcenters", "/openapi.json"):
                    status, _ = await caller.send("GET", path)
                    if status != HTTPStatus.OK:
                        self._site.complaints.append(f"GET {path} was answered by {status}")
                await self._pause(draw.uniform(1.0, 3.0))

    async def _get(self, http: aiohttp.ClientSession, path: str) -> None:
        async with http.get(self._at + path) as answer:
            text = await answer.text()
        self._site.counts[f"GET {path}"] += 1
        if answer.status != HTTPStatus.OK:
            self._site.complaints.append(f"GET {path} was answered by {answer.status}: {text}")

    def _signal(self, number: signal.Signals) -> None:
        os.kill(self._pid, number)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
