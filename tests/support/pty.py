"""Run a program, such as a shell with job control, on a real pseudo-terminal with a keyboard."""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import os
import re
import signal
import struct
import termios
from abc import ABC, abstractmethod
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tests.support.timeouts import TIMEOUT_SECONDS

INTERRUPT, SUSPEND, END_OF_FILE = "\x03", "\x1a", "\x04"
PROMPT = "ready> "
_SHELLS = {
    "bash": ("bash", "--norc", "--noprofile", "--noediting", "-i"),
    "dash": ("dash", "-i"),
}

T = TypeVar("T")


async def until(
    condition: Callable[[], object],
    otherwise: Callable[[], str] = str,
    bound: float = TIMEOUT_SECONDS,
) -> None:
    """Wait until a condition holds; otherwise fail with the text of `otherwise`."""
    try:
        async with asyncio.timeout(bound):
            while not condition():  # noqa: ASYNC110 # other processes raise no event here
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not so within {bound} s: {otherwise()}") from None


def state_of(pid: int) -> str:
    """Return the letter for a process's state (R, S, T, Z, …), or "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Device(ABC):
    """The other end of a terminal: its output, and its keyboard."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._more = asyncio.Event()

    def read(self) -> None:
        """Read the available output."""
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # EIO: the other end is closed
            chunk = b""
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._master)
        self.write(self._decoder.decode(chunk))
        self._more.set()

    @abstractmethod
    def write(self, text: str) -> None:
        """Process output of the program."""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Resize the terminal, which signals the foreground processes."""
        resize(self._master, columns, rows)

    async def until_seen(self, seen: Callable[[], T], otherwise: Callable[[], str]) -> T:
        """Wait until `seen` returns a result; otherwise fail with the text of `otherwise`."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                while not (found := seen()):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(otherwise()) from None
        return found


class Pty(Device):
    """A terminal, its keyboard, and the session leader on it."""

    def __init__(self, leader: Process, master: int) -> None:
        super().__init__(master)
        self.leader = leader
        self.text = ""
        """All output so far."""
        self._seen = 0

    def write(self, text: str) -> None:
        self.text += text

    def foreground(self) -> int:
        """Return the foreground process group."""
        return os.tcgetpgrp(self._master)

    def echoes(self) -> bool:
        """Whether the terminal echoes typed keys."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    async def shows(self, pattern: str) -> str:
        """Wait until the output since the last call matches, and return the match."""
        match = await self.until_seen(
            lambda: re.compile(pattern).search(self.text, self._seen),
            lambda: f"{pattern!r} is not in {self.text!r}",
        )
        assert match is not None
        self._seen = match.end()
        return match[0]

    async def run(self, line: str) -> None:
        """Type a line at the shell's prompt, without waiting for its result."""
        await self.shows(PROMPT)
        self.type(line + "\n")


@asynccontextmanager
async def pty(
    *argv: str, columns: int = 80, rows: int = 24, **environment: str
) -> AsyncIterator[Pty]:
    """Start a program as the leader of a session on a terminal; end the whole session after it."""
    master, slave = os.openpty()
    resize(master, columns, rows)
    leader = await asyncio.create_subprocess_exec(
        *("setsid", "--ctty", *argv),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "dumb", **environment},
    )
    # The other end stays open here, or the last output would be lost.
    terminal = Pty(leader, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, terminal.read)
    try:
        yield terminal
    finally:
        for pid in _session(leader.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await leader.wait()
        loop.remove_reader(master)
        os.close(master)
        os.close(slave)


@asynccontextmanager
async def shell(program: str = "bash") -> AsyncIterator[Pty]:
    """Start an interactive shell without echo; it is at its first prompt."""
    async with pty(*_SHELLS[program], PS1=PROMPT, ENV="", HISTFILE="") as terminal:
        await terminal.run("stty -echo")
        await until(lambda: not terminal.echoes())
        yield terminal


def _session(leader: int) -> list[int]:
    """Return the processes of a session, its leader last: its end sends SIGHUP to the others."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    members.append(int(entry.name))
    return sorted(members, key=lambda pid: pid == leader)


def resize(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
