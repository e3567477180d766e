"""`clkeepalived demo`, from beginning to end, as a newcomer runs it."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import struct
import sys
import tempfile
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.support.demo_picture import PICTURE, draw, masked, summary
from tests.support.timeouts import TIMEOUT_SECONDS

pytestmark = [pytest.mark.extended, pytest.mark.timeout(600)]

COMMAND = (sys.executable, "-m", "keepalived.cli", "demo")
VERDICT = "27 of 27 checks passed."
NAMES = ("debian-12.ova", "windows-2022.iso", "database.ovf", "debian-12 unkept")
FOUND = re.compile(r"^ *(ok|FAILED) +(.+?)  +(.+?) *$", re.MULTILINE)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files with a name that needs care, but short: sockets live there."""
    with tempfile.TemporaryDirectory(prefix="it's [a] demo: ") as folder:
        yield Path(folder)


async def start(place: Path, *command: str, **environ: str) -> Process:
    environ = {**os.environ, "TMPDIR": str(place), **environ}
    return await asyncio.create_subprocess_exec(
        *(command or COMMAND), stdout=PIPE, stderr=PIPE, env=environ
    )


async def read_until(process: Process, words: bytes) -> None:
    assert process.stdout is not None
    while words not in (line := await process.stdout.readline()):
        assert line, "it ended before"


def daemon_of(process: Process) -> int:
    """Return the process id of the daemon that a demonstration runs."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process.pid:
            return int(entry.parent.name)
    raise AssertionError("it runs no daemon")


async def test_it_ends_by_itself_with_a_summary_in_which_everything_holds(place: Path) -> None:
    # Nor does it matter which way this machine's requests usually leave it.
    process = await start(place, http_proxy="http://127.0.0.1:1", no_proxy="")
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        out, err = await process.communicate()
    text = out.decode()
    assert (process.returncode, err) == (0, b""), text
    assert VERDICT in text
    found = FOUND.findall(text)
    assert len(found) == 27
    assert {mark for mark, _, _ in found} == {"ok"}
    evidence = [(claim, evidence) for _, claim, evidence in found]
    assert ("its upload failed", "adding the file: HTTP 404 NOT_FOUND") in evidence
    assert ("its end was reported", "ERROR: the datastore is full") in evidence
    assert ("its end was reported", "CANCELED: no content arrived") in evidence
    assert ("its content arrived", "64 MiB of 64 MiB, version 2") in evidence
    assert evidence.count(("its end was reported", "DONE: the content arrived")) == 3
    assert re.search(r"s  debian-12 unkept +expired on the server$", text, re.MULTILINE)
    # The README's picture shows this summary; `make picture` draws it again.
    assert masked(draw(summary(text))) == masked(PICTURE.read_text())
    assert "\x1b" not in text
    assert os.listdir(place) == []


async def test_on_terminals_a_table_lives_and_the_summary_follows() -> None:
    narrow, wide = await asyncio.gather(on_terminal(80), on_terminal(120))
    assert len(bar_of(narrow)) < len(bar_of(wide))


async def on_terminal(columns: int) -> list[str]:
    """Look at all that a terminal is given to show; return its lines."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdout=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        text, code = await asyncio.gather(asyncio.to_thread(read_all, ours), process.wait())
    os.close(ours)
    assert code == 0, text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0, "the cursor is not back"
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").split("\n")
    lines = [line.rstrip() for line in lines if line.strip()]
    live, summary = lines[: lines.index("    debian-12.ova")], lines[-60:]

    assert max(map(len, lines)) <= columns
    assert not [line for line in lines if "…" in line]
    frames = [live[at : at + 7] for at, line in enumerate(live) if line.startswith("upload ")]
    assert len(frames) > 10
    for frame in frames:
        assert [line.split("  ")[0] for line in frame[1:5]] == list(NAMES)
    kept, lost = [{frame[at].split("  ")[-1] for frame in frames} for at in (1, 4)]
    assert "expired" in lost
    assert "complete" in kept
    assert "expired" not in kept
    passing = {text for text in kept if re.fullmatch(r"\d\.\d s", text)}
    assert len(passing) > 1, "its time left is not seen to pass"
    for doing in ("checksumming", "transferring", "queueing", "complete"):
        assert any(doing in frame[1] for frame in frames)

    found = FOUND.findall("\n".join(summary))
    assert len(found) == 27
    assert {mark for mark, _, _ in found} == {"ok"}
    assert lines[-2] == VERDICT
    (row,) = [line for line in summary if line.startswith("│ debian-12 unkept")]
    assert [cell.strip() for cell in row.strip("│").split("│")][1::3] == ["none", "expired, lost"]
    return live


def bar_of(live: list[str]) -> str:
    bars = re.findall(r"━+", next(line for line in live if line.startswith("database.ovf")))
    return bars[0] if bars else ""


def read_all(terminal: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # The other side is closed.
            break
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [b"A simulated vCenter", b"checksumming"])
async def test_an_interruption_leaves_nothing_behind(
    number: signal.Signals, words: bytes, place: Path
) -> None:
    process = await start(place)
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        await read_until(process, words)
        if words == b"checksumming":
            daemon = daemon_of(process)
        process.send_signal(number)
        _, err = await process.communicate()
    assert (process.returncode, err) == (128 + number, b"interrupted\n")
    assert os.listdir(place) == []
    if words == b"checksumming":
        with pytest.raises(ProcessLookupError):
            os.kill(daemon, 0)


async def test_a_daemon_that_dies_is_found_out(place: Path) -> None:
    process = await start(place)
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        await read_until(process, b"checksumming")
        os.kill(daemon_of(process), signal.SIGKILL)
        out, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")
    text = out.decode()
    assert ("FAILED", "its end was reported", "not at all") in FOUND.findall(text)
    assert re.search(r"\n\d+ of 27 checks passed\.\nthe daemon exited unexpectedly\n$", text)
    assert re.search(r"^debian-12.ova +clkeepalived +.* expired, lost$", text, re.MULTILINE)
    assert os.listdir(place) == []


async def test_a_daemon_that_cannot_start_is_quoted(place: Path) -> None:
    too_long = place / ("x" * 120)  # for the address of a socket
    os.mkdir(too_long)
    process = await start(too_long)
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        _, err = await process.communicate()
    assert process.returncode == 1
    ended, *why = err.decode().splitlines()
    assert ended == "the daemon exited unexpectedly"
    assert len(why) == 1, why
    assert "control.sock: the path has " in why[0]
    assert os.listdir(too_long) == []


async def test_a_reader_that_has_seen_enough_hears_no_complaint(place: Path) -> None:
    process = await asyncio.create_subprocess_shell(
        f"{' '.join(COMMAND)} | head -n 3",
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "TMPDIR": str(place)},
    )
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        _, err = await process.communicate()
    assert err == b""
    assert os.listdir(place) == []


async def test_it_is_cut_short_where_its_daemon_is_stuck(place: Path) -> None:
    program = (
        "import asyncio, sys; from keepalived.demo import play; play.LONGEST_PLAY = 3.0; "
        "sys.exit(0 if asyncio.run(play.play()) else 1)"
    )
    process = await start(place, sys.executable, "-c", program)
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        await read_until(process, b"checksumming")
        os.kill(daemon_of(process), signal.SIGSTOP)
        out, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")
    found = FOUND.findall(out.decode())
    assert len(found) == 27
    assert ("FAILED", "its content arrived", "0 MiB of 16 MiB, version 1") in found
    assert os.listdir(place) == []
