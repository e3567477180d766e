"""`clkeepalived demo`, from beginning to end, as a newcomer runs it."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import struct
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

COMMAND = (sys.executable, "-m", "keepalived.cli", "demo")


async def test_it_ends_by_itself_with_a_summary_in_which_everything_holds() -> None:
    async with asyncio.timeout(40):
        process = await asyncio.create_subprocess_exec(*COMMAND, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, text
    assert "NOT SO" not in text
    assert "21 of 21 as they should be" in text
    assert "expired after 4.0 s without a keeper" in text
    assert "reported as ERROR (the datastore is full)" in text


@pytest.mark.parametrize("columns", [80, 120])
async def test_on_a_terminal_a_table_fits_and_the_summary_follows(columns: int) -> None:
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdout=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    reading = asyncio.to_thread(read_all, ours)
    async with asyncio.timeout(40):
        text, code = await asyncio.gather(reading, process.wait())
    os.close(ours)
    assert code == 0
    assert "time left" in text
    assert "transferring" in text
    assert "21 of 21 as they should be" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is not back"


def read_all(terminal: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # The other side is closed.
            break
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


async def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while b"checksum" not in await process.stdout.readline():
            continue
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert os.listdir(tmp_path) == []
