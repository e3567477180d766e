"""A soak that is interrupted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.held import ROOT
from tests.support.pty import until

pytestmark = pytest.mark.extended


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files with a short name: sockets live there."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def session_of(leader: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _parent, _group, session, *_ = entry.read_text().rpartition(")")[2].split()
            if int(session) == leader and state != "Z":
                found.append(int(entry.parent.name))
    return found


async def test_a_sigterm_leaves_nothing_behind(place: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.soak", "--minutes", "30"),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(place)},
        stdout=DEVNULL,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        # Itself, the daemon, whose process a hold lives for, and the first that the churn starts.
        await until(lambda: len(session_of(process.pid)) >= 4)
        process.terminate()
        _, err = await process.communicate()

        assert process.returncode == 128 + signal.SIGTERM, err.decode()
        assert session_of(process.pid) == []
        assert os.listdir(place) == []
    finally:
        for each in session_of(process.pid):
            os.kill(each, signal.SIGKILL)
