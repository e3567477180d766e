"""Run a real `clkeepalived serve` process, control it by signals, and read its log and metrics."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from keepalived.demo.serving import Served, start
from tests.support.programs import killed_at_last
from tests.support.timeouts import TIMEOUT_SECONDS

Event = dict[str, Any]
PASSWORD_VARIABLE = "TEST_VCENTER_PASSWORD"


class Daemon(Served):
    """One run of the daemon, seen by a test."""

    async def event(
        self, name: str, *, seconds: float = TIMEOUT_SECONDS, **fields: object
    ) -> Event:
        """Return the first log line with that name and fields; wait for it if necessary."""

        def found() -> Event | None:
            for event in self.events:
                if event["event"] == name and fields.items() <= event.items():
                    return event
            return None

        await self.until(lambda: found() is not None, seconds=seconds, what=f"{name} {fields}")
        event = found()
        assert event is not None
        return event

    async def until(
        self,
        condition: Callable[[], object],
        *,
        seconds: float = TIMEOUT_SECONDS,
        what: str = "it",
    ) -> None:
        """Wait until a condition holds; check it after each log line and at short intervals."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self.more.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await self.more.wait()
        except TimeoutError:
            raise AssertionError(
                f"waited {seconds} s for {what}; log:\n"
                + "\n".join([*map(str, self.events), *self.other_lines])
            ) from None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self, *, seconds: float = TIMEOUT_SECONDS) -> int:
        """Wait for the process to end by itself, and return its exit code."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await self.reading
        return code

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Scrape; return samples by name and label values in the order of the label names."""
        ready = await self.event("ready")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{ready['listen']}/metrics") as answer,
        ):
            text = await answer.text()
        return samples(text)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return a scrape's samples by name and label values in the order of the label names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@asynccontextmanager
async def serving(config: Path, password: str = "", **environ: str) -> AsyncIterator[Daemon]:
    """Run `clkeepalived serve --config …` while the block runs."""
    process = await start(config, {**os.environ, PASSWORD_VARIABLE: password, **environ})
    async with daemon_of(process) as daemon:
        yield daemon


@asynccontextmanager
async def daemon_of(process: Process) -> AsyncIterator[Daemon]:
    """Wrap a started daemon; kill it at the end of the block if it still runs."""
    daemon = Daemon(process)
    async with killed_at_last(process, daemon.end):
        yield daemon
