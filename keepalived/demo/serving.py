"""Start `clkeepalived serve` as a separate process, read its log, and end it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LONGEST_LINE = 1024 * 1024


def serve_command(config: Path) -> tuple[str, ...]:
    """Return the command that runs the daemon on a configuration."""
    return (sys.executable, "-m", "keepalived.cli", "serve", "--config", str(config))


async def start(config: Path, environ: Mapping[str, str]) -> Process:
    """Start the daemon with its log as a pipe."""
    return await asyncio.create_subprocess_exec(
        *serve_command(config),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        limit=_LONGEST_LINE,
        env=environ,
    )


async def end(process: Process, within: float, *, is_ending: bool = False) -> bool:
    """Terminate a process and kill it after `within` seconds; return whether no kill was needed.

    With `is_ending` it is not signalled: that would reap it, which asyncio warns about.
    """
    if process.returncode is None and not is_ending:
        process.terminate()
    try:
        async with asyncio.timeout(within):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return True


class Served:
    """A running daemon. `events` are the lines of its log, `other_lines` all other output.

    `more` is set for each line, and when the process has ended.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.other_lines: list[str] = []
        self.has_ended = False
        self.more = asyncio.Event()
        self.reading = asyncio.create_task(self._read(), name="daemon's log")

    async def has_more_output(self) -> bool:
        """Wait for more output of the daemon; return False if it has ended."""
        if not self.has_ended:
            self.more.clear()
            await self.more.wait()
        return not self.has_ended

    async def _read(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - it was asked for
        async for line in self.process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.other_lines.append(line.decode(errors="replace"))
            self.more.set()
        self.has_ended = True
        self.more.set()
