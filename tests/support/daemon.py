"""A real `clkeepalived serve` process, driven by signals and read by its log and metrics."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.patience import PATIENCE_SECONDS

Event = dict[str, Any]
PASSWORD_VARIABLE = "TEST_VCENTER_PASSWORD"


class Daemon:
    """One run of the daemon. `events` are its log lines, parsed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[Event] = []
        self.other_lines: list[str] = []
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.other_lines.append(line.decode())
            self._more.set()
        self._more.set()

    async def event(
        self, name: str, *, seconds: float = PATIENCE_SECONDS, **fields: object
    ) -> Event:
        """Return the first log line of that name and those fields; wait for it if need be."""

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
        self, condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS, what: str = "it"
    ) -> None:
        """Wait until a condition holds, which is looked at after each log line and often."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._more.clear()
                    try:
                        async with asyncio.timeout(0.05):
                            await self._more.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            raise AssertionError(
                f"waited {seconds} s for {what}; the log says:\n"
                + "\n".join([*map(str, self.events), *self.other_lines])
            ) from None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the process to end by itself, and return its exit code."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await self._reading
        return code

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Scrape; samples by name and label values in the order of the label names."""
        ready = await self.event("ready")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{ready['listen']}/metrics") as answer,
        ):
            text = await answer.text()
        return samples(text)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Return what a scrape says, by name and label values in the order of the label names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@asynccontextmanager
async def serving(config: Path, password: str = "", **environ: str) -> AsyncIterator[Daemon]:
    """Run `clkeepalived serve --config …` until the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "keepalived.cli", "serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, PASSWORD_VARIABLE: password, **environ},
    )
    daemon = Daemon(process)
    try:
        yield daemon
    finally:
        if process.returncode is None:
            process.kill()
        await daemon.end()
