"""`clkeepalived exec` as people use it, before a simulator that counts what it is asked."""

from __future__ import annotations

import asyncio
import json
import os
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
from keepalived.simulator.ledger import Entry
from keepalived.simulator.resources import SessionEvent
from keepalived.simulator.server import serve
from tests.support.cli import COMMAND, Ran

_TOUCH_SECONDS = 0.2
UPLOADER = (sys.executable, str(Path(__file__).with_name("uploader.py")))


@dataclass(frozen=True)
class Place:
    """A simulator that is served, and the file that describes it to `exec`."""

    simulator: Simulator
    url: str
    config: Path
    environment: dict[str, str]

    async def exec(self, *words: str, stdin: str = "", **more: str) -> Ran:
        """Run `exec` with these words behind `--config` to its end."""
        async with self.started(*words, **more) as process:
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def started(self, *words: str, **more: str) -> AsyncIterator[Process]:
        """Start `exec`; what is left of it and of its command at the end of the block is killed."""
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
        out, err = await process.communicate(b"")
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    def open_session(self) -> str:
        """Open a session, and keep it open until somebody renews it: processes start slowly."""
        session_id = self.simulator.open_session()
        self.keep_open(session_id, lambda: not self.keep_alives(session_id))
        return session_id

    def keep_open(self, session_id: str, wanted: Callable[[], bool] = lambda: True) -> None:
        """Keep a session open for as long as that is wanted, without a request."""
        sessions = self.simulator.library.sessions

        def touch() -> None:
            with suppress(ApiError):
                if wanted():
                    sessions.touch(sessions.active(Kind.UPDATE, session_id))
                    asyncio.get_running_loop().call_later(_TOUCH_SECONDS, touch)

        touch()

    def keep_token(self, token: str) -> None:
        """Keep a token fresh until somebody asks for sessions."""
        simulator = self.simulator

        def touch() -> None:
            if not simulator.ledger.requests("update_session.*"):
                simulator.logins.authenticate(token)
                asyncio.get_running_loop().call_later(_TOUCH_SECONDS, touch)

        touch()

    def keep_alives(self, session_id: str) -> list[Entry]:
        """Return the keep-alives that arrived for a session, in their order."""
        return self.simulator.ledger.requests("update_session.keep_alive", session_id=session_id)

    def events(self, session_id: str) -> list[SessionEvent]:
        """Return what happened to a session, in its order."""
        return [event.event for event in self.simulator.ledger.events_of(session_id)]


@asynccontextmanager
async def place(folder: Path, lifetime: float = 1.5, **how: Any) -> AsyncIterator[Place]:
    """Serve a simulator whose sessions live that long, in seconds, and describe it to `exec`."""
    simulator = Simulator(session_timeout=lifetime, **how)
    async with serve(simulator) as url:
        config = folder / "exec.yaml"
        vcenter = {
            "url": url,
            "username": simulator.username,
            "password_env": "GOVC_PASSWORD",
            "session_timeout": lifetime,
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


def image(folder: Path, name: str = "image.iso", size: int = 400_000) -> Path:
    """Return a file to upload."""
    path = folder / name
    path.write_bytes(os.urandom(1000) * (size // 1000))
    return path


def session_of(ran: Ran) -> str:
    """Return the session id that the uploader said; fail with all that was said otherwise."""
    lines = [line for line in ran.out.splitlines() if line.startswith("session ")]
    assert len(lines) == 1, f"not one session was said:\n{ran}"
    return lines[0].removeprefix("session ")


def open_sessions(simulator: Simulator) -> list[str]:
    """Return the ids of the update sessions that the simulator has open."""
    return [each.id for each in simulator.library.sessions.all(Kind.UPDATE)]


def _kill_session(leader: int) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    os.kill(int(entry.name), signal.SIGKILL)
