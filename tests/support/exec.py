"""Run `clkeepalived exec` against a simulator that records all requests."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.errors import ApiError
from keepalived.simulator.ledger import LedgerEntry
from keepalived.simulator.resources import SessionEvent
from keepalived.simulator.server import serve
from tests.support.cli import COMMAND, Ran
from tests.support.pty import until
from tests.support.timeouts import TIMEOUT_SECONDS

_TOUCH_SECONDS = 0.2
UPLOADER = (sys.executable, str(Path(__file__).with_name("uploader.py")))


@dataclass(frozen=True)
class Place:
    """A served simulator, and a configuration file for it."""

    simulator: Simulator
    url: str
    config: Path
    environment: dict[str, str]

    async def exec(self, *words: str, **more: str) -> Ran:
        """Run `exec --config FILE` with these arguments to its end."""
        async with self.started(*words, **more) as process:
            return await ended(process)

    @asynccontextmanager
    async def started(self, *words: str, **more: str) -> AsyncIterator[Process]:
        """Start `exec`; at the end of the block kill it and its command if they still run."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("exec", "--config", str(self.config), *words),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**self.environment, **more},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _kill_session(process.pid)
            await process.communicate()

    async def clkeepalived(self, *words: str) -> Ran:
        """Run another command to its end."""
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self.environment
        )
        return await ended(process)

    def open_session(self) -> str:
        """Open a session, and keep it alive until its first renewal: processes start slowly."""
        session_id = self.simulator.open_session()
        self.keep_open(session_id, lambda: not self.keep_alives(session_id))
        return session_id

    def keep_open(self, session_id: str, wanted: Callable[[], bool] = lambda: True) -> None:
        """Keep a session alive without requests while `wanted` returns True."""
        sessions = self.simulator.library.sessions

        def touch() -> None:
            with suppress(ApiError):
                if wanted():
                    sessions.touch(sessions.active(Kind.UPDATE, session_id))
                    asyncio.get_running_loop().call_later(_TOUCH_SECONDS, touch)

        touch()

    def keep_token(self, token: str) -> None:
        """Keep a token valid until the first list of sessions is requested."""
        simulator = self.simulator

        def touch() -> None:
            if not simulator.ledger.requests("update_session.*"):
                simulator.logins.authenticate(token)
                asyncio.get_running_loop().call_later(_TOUCH_SECONDS, touch)

        touch()

    def keep_alives(self, session_id: str) -> list[LedgerEntry]:
        """Return the keep-alives received for a session, in order."""
        return self.simulator.ledger.requests("update_session.keep_alive", session_id=session_id)

    async def until_open(self) -> str:
        """Wait for the one session of the test, and return its id."""
        await until(lambda: open_sessions(self.simulator))
        (session_id,) = open_sessions(self.simulator)
        return session_id

    async def until_held(self, session_id: str = "", more: int = 3) -> str:
        """Wait for `more` renewals of a session, by default the only one; return its id.

        After three renewals of a new session `exec` has also determined whether it is its own.
        """
        session_id = session_id or await self.until_open()
        before = len(self.keep_alives(session_id))
        await until(
            lambda: len(self.keep_alives(session_id)) >= before + more,
            lambda: f"{self.keep_alives(session_id)}, {self.events(session_id)}",
        )
        return session_id

    def events(self, session_id: str) -> list[SessionEvent]:
        """Return the events of a session, in order."""
        return [event.event for event in self.simulator.ledger.events_of(session_id)]


@asynccontextmanager
async def place(
    folder: Path, lifetime: float = 1.5, *, served_lifetime: float | None = None, **how: Any
) -> AsyncIterator[Place]:
    """Serve a simulator with this session lifetime in seconds, and configure `exec` for it.

    With `served_lifetime` sessions live longer than configured, and so long may requests take:
    `exec` renews often, yet a busy machine loses no session.
    """
    simulator = Simulator(session_timeout=served_lifetime or lifetime, **how)
    async with serve(simulator) as url:
        config = folder / "exec.yaml"
        vcenter = {
            "url": url,
            "username": simulator.username,
            "password_env": "GOVC_PASSWORD",
            "session_timeout": lifetime,
            "request_timeout": served_lifetime or "auto",
        }
        config.write_text(json.dumps({"vcenters": {"lab": vcenter}}))
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("GOVC_")},
            "GOVC_USERNAME": simulator.username,
            "GOVC_PASSWORD": simulator.password,
            "GOVC_URL": url,
            "GOVMOMI_HOME": str(folder / "govmomi"),
        }
        yield Place(simulator, url, config, environment)


async def ended(process: Process) -> Ran:
    """Wait for a process to end; return its unread output."""
    async with asyncio.timeout(2 * TIMEOUT_SECONDS):
        out, err = await process.communicate(b"")
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


def waiting(file: Path, *, code: int = 0) -> tuple[str, ...]:
    """Return a command that prints `begun`, and exits with `code` once a file exists."""
    text = f"echo begun; until [ -e {shlex.quote(str(file))} ]; do sleep 0.05; done; exit {code}"
    return "sh", "-c", text


def image(folder: Path, name: str = "image.iso", size: int = 400_000) -> Path:
    """Return a file to upload."""
    path = folder / name
    path.write_bytes(os.urandom(1000) * (size // 1000))
    return path


def session_of(ran: Ran) -> str:
    """Return the session id that the uploader printed; otherwise fail with the output."""
    lines = [line for line in ran.out.splitlines() if line.startswith("session ")]
    assert len(lines) == 1, f"expected one session in the output:\n{ran}"
    return lines[0].removeprefix("session ")


def open_sessions(simulator: Simulator) -> list[str]:
    """Return the ids of the simulator's open update sessions."""
    return [each.id for each in simulator.library.sessions.all(Kind.UPDATE)]


def _kill_session(leader: int) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    os.kill(int(entry.name), signal.SIGKILL)
