"""Run the command line as separate processes."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.programs import program
from tests.support.timeouts import TIMEOUT_SECONDS

COMMAND = (sys.executable, "-m", "keepalived.cli")

UNMEASURED = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
"""Environment that excludes a process from `make coverage`, which adds imports and writes."""


@dataclass(frozen=True)
class Ran:
    """The output and exit code of a command."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        """Return everything as text, for the message of a failing test."""
        return f"it ended with {self.code}\nout: {self.out}\nerr: {self.err}"


def surroundings(socket: Path, **more: str) -> dict[str, str]:
    """Return the environment of a command that uses this control socket."""
    return {**os.environ, "CLKEEPALIVED_SOCKET": str(socket), **more}


async def run(socket: Path, *words: str, stdin: str = "", **how: Any) -> Ran:
    """Run a command to its end."""
    async with started(socket, *words, **how) as process:
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def started(socket: Path, *words: str, **how: Any) -> AsyncIterator[Process]:
    """Start a command; kill it at the end of the block if it still runs."""
    how = {"stdin": PIPE, "env": surroundings(socket), **how}
    async with program(*COMMAND, *words, **how) as process:
        yield process


async def line_of(stream: asyncio.StreamReader | None, containing: str = "") -> str:
    """Read up to a line that contains a text, and return that line."""
    assert stream is not None
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async for line in stream:
            if containing in line.decode():
                return line.decode()
    raise AssertionError(f"the stream ended without {containing!r}")
