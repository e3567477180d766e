"""Run a simulator in its own thread, for scripts that hold sessions in any process."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.timeouts import TIMEOUT_SECONDS

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Lab:
    """A served simulator, and the event loop to which it belongs."""

    simulator: Simulator
    url: str
    loop: asyncio.AbstractEventLoop

    def do(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the simulator's loop."""

        async def call() -> T:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(TIMEOUT_SECONDS)

    def open(self, kind: Kind = Kind.UPDATE) -> str:
        """Open a session and return its id."""
        return self.do(lambda: self.simulator.open_session(kind=kind))

    def cancel(self, session_id: str) -> None:
        """Cancel a session on the server, as an administrator would."""
        self.do(self.simulator.library.sessions.cancel, Kind.UPDATE, session_id)

    def events(self, session_id: str) -> list[str]:
        """Return the events of a session, in order."""
        ledger = self.simulator.ledger
        return self.do(lambda: [each.event.value for each in ledger.events_of(session_id)])

    def sent(self, route: str, session_id: str | None = None) -> list[int | None]:
        """Return the progress in each request of a route, in order."""
        found = self.do(lambda: self.simulator.ledger.requests(route, session_id=session_id))
        return [each.client_progress for each in found]

    def renewals(self, session_id: str) -> int:
        """Return the number of keep-alives received for a session."""
        return len(self.sent("*.keep_alive", session_id))

    def until_renewed(self, *session_ids: str, more: int = 3) -> None:
        """Wait, in any other thread, until each session was renewed `more` more times."""
        before = {each: self.renewals(each) for each in session_ids}
        within(lambda: all(self.renewals(each) >= before[each] + more for each in session_ids))

    def told(self, session_id: str) -> list[int]:
        """Return the progress reports in a session's keep-alives."""
        sent = self.sent("*.keep_alive", session_id)
        return [percent for percent in sent if percent is not None]

    def logged_in(self) -> int:
        """Return the number of logins without a logout."""
        return len(self.sent("session.create")) - len(self.sent("session.delete"))

    def credentials(self) -> dict[str, Any]:
        """Return the arguments of `hold` for logging in."""
        return {"username": self.simulator.username, "password": self.simulator.password}

    def configure(self, file: Path, certificate: Path, session_timeout: float) -> dict[str, object]:
        """Write a configuration with this vCenter, whose password is in GOVC_PASSWORD.

        Returns the vCenter's section.
        """
        settings: dict[str, object] = {
            "url": self.url,
            "username": self.simulator.username,
            "password_env": "GOVC_PASSWORD",
            "ca_file": str(certificate),
            "session_timeout": session_timeout,
        }
        file.write_text(json.dumps({"vcenters": {"lab": settings}}))
        return settings


def within(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@contextmanager
def lab(certificate: Path | None = None, **how: Any) -> Iterator[Lab]:
    """Serve a simulator while the block runs; by https if there is a certificate."""
    simulator, tls = Simulator(**how), None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    loop, stopped = asyncio.new_event_loop(), asyncio.Event()
    listening: Future[str] = Future()

    async def run() -> None:
        async with serve(simulator, ssl_context=tls) as url:
            listening.set_result(url)
            await stopped.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), name="simulator")
    thread.start()
    try:
        yield Lab(simulator, listening.result(TIMEOUT_SECONDS), loop)
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(TIMEOUT_SECONDS)
        loop.close()


def script(text: str, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start a script in Python's strictest mode; the caller has to end it.

    `-W error` makes every warning an exception, and `-X dev` reports unclosed resources.
    """
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", "-c", text, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def left_behind() -> tuple[list[str], int]:
    """Return the names of this process's threads, and the number of its open files."""
    names = sorted(thread.name for thread in threading.enumerate())
    return names, len(os.listdir("/proc/self/fd"))
