"""The setup of the soak: simulated vCenters, the daemon and its files."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from benchmarks.folder import DaemonFolder, write
from keepalived.demo.serving import end, serve_command
from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.errors import ApiError
from keepalived.simulator.routes import ServedDialect
from keepalived.simulator.server import serve as serve_simulator

RETENTION = 3.0
"""Seconds that an ended session stays visible: short, so that all are forgotten at the end of a
soak."""

GUEST = "guest"
"""The vCenter that reloads add and remove, and whose sessions are discovered."""

USERNAME = "uploader@vsphere.local"
_VARIABLE = "SOAK_PASSWORD"
_LINGER = 6.0
_PROBE = Path(__file__).parent / "probe"

Key = tuple[str, str]
"""A vCenter's name and a session's id."""


@dataclass
class Site(DaemonFolder):
    """Simulators by name, the folder of the daemon's files, and the sessions that must be alive."""

    simulators: dict[str, Simulator]
    standing: list[str]
    lifetime: float
    password: str = field(repr=False)
    alive: dict[Key, Kind] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def ports(self) -> set[int]:
        """The ports on which the vCenters listen."""
        return {URL(each.base_url).port or 0 for each in self.simulators.values()}

    # -- sessions on the servers

    def open(self, vcenter: str, kind: Kind = Kind.UPDATE) -> str:
        """Open a session as an uploader does, and return its id."""
        self.counts["sessions opened"] += 1
        return self.simulators[vcenter].open_session(kind=kind)

    def must_live(self, vcenter: str, session_id: str, kind: Kind = Kind.UPDATE) -> None:
        """Note that the session's hold was acknowledged: from now on it must stay alive."""
        self.alive[vcenter, session_id] = kind

    def may_end(self, vcenter: str, session_id: str) -> None:
        """Note that the session may end from now on; its item is deleted after a while."""
        self.look_for_losses()
        kind = self.alive.pop((vcenter, session_id), Kind.UPDATE)
        asyncio.get_running_loop().call_later(_LINGER, self._forget, vcenter, kind, session_id)

    def look_for_losses(self) -> None:
        """Record every session that ended while it had to stay alive."""
        for name, simulator in self.simulators.items():
            ledger = simulator.ledger
            for vcenter, session_id in [key for key in self.alive if key[0] == name]:
                ended = ledger.session(session_id).ended
                if ended is not None:
                    del self.alive[vcenter, session_id]
                    self.lost.append(f"{vcenter}/{session_id}: {ended}")

    def _forget(self, vcenter: str, kind: Kind, session_id: str) -> None:
        library = self.simulators[vcenter].library
        with suppress(ApiError):  # the item is already deleted
            session = library.sessions.get(kind, session_id)
            library.delete_library(library.catalog.item(session.item_id).library_id)

    # -- the daemon's files

    def write_config(
        self, *, observe: str = "files", in_flight: int = 8, guest: bool = True, more: str = ""
    ) -> None:
        """Write the configuration, in one rename."""
        lines = ["vcenters:"]
        for name, simulator in self.simulators.items():
            if name == GUEST and not guest:
                continue
            lines.append(
                f"  {name}: {{url: '{simulator.base_url}', username: {USERNAME}, "
                f"password_env: {_VARIABLE}, session_timeout: {self.lifetime}, observe: {observe}, "
                f"max_in_flight: {in_flight}, discover: {str(name == GUEST).lower()}}}"
            )
        lines += [
            f"session_files: ['{self.folder}/sessions.d/*.yaml']",
            f"control: {{socket: {self.socket}}}",
            f"state: {{path: {self.state}}}",
            "http: {listen: '127.0.0.1:0'}",
            "log: {format: json}",
            f"retention: {{ended: {RETENTION}, failed: {RETENTION}}}",
            "sessions:",
            *(f"- {{id: '{each}', vcenter: lab}}" for each in self.standing),
            more,
        ]
        write(self.config, "\n".join(lines) + "\n")

    # -- the daemon

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run `clkeepalived serve` while the block runs."""
        environ = {
            **os.environ,
            _VARIABLE: self.password,
            "PYTHONPATH": str(_PROBE),
            "SOAK_PROBE": str(self.folder / "probe.json"),
        }
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *serve_command(self.config),
                stdout=log,
                stderr=log,
                env=environ,
            )
            try:
                yield process
            finally:
                if not await end(process, 15.0):
                    self.complaints.append("the daemon did not stop within 15 s")

    async def listen_address(self, process: asyncio.subprocess.Process) -> str:
        """Wait until the daemon is ready, and return the address of its HTTP listener."""
        async with asyncio.timeout(60):
            while True:
                for event in self.events():
                    if event.get("event") == "ready":
                        return f"http://{event['listen']}"
                if process.returncode is not None:
                    raise RuntimeError(f"the daemon ended during its start: {self.log.read_text()}")
                await asyncio.sleep(0.1)

    def events(self) -> list[dict[str, Any]]:
        """Return the daemon's log events; a line that is not JSON becomes a complaint."""
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                self.complaints.append(f"the log holds: {line}")
        return found


class Caller:
    """A client of the control socket."""

    def __init__(self, socket: Path) -> None:
        self._http = aiohttp.ClientSession(
            "http://daemon", connector=aiohttp.UnixConnector(str(socket))
        )

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request, and return its status and the answer."""
        async with self._http.request(method, path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def stream(self, method: str, path: str, body: object = None) -> aiohttp.ClientResponse:
        """Open a stream, which lasts until the caller is closed."""
        return await self._http.request(method, path, json=body)


@asynccontextmanager
async def a_site(folder: Path, standing: int, lifetime: float) -> AsyncIterator[Site]:
    """Run the simulators, and set up a folder for the daemon.

    `lifetime` is how many seconds a session lives without activity.
    """
    password = secrets.token_urlsafe(12)
    dialects = {
        "lab": tuple(ServedDialect),
        "old": (ServedDialect.REST,),
        GUEST: tuple(ServedDialect),
    }
    simulators = {
        name: Simulator(
            username=USERNAME,
            password=password,
            session_timeout=lifetime,
            token_max_age=120.0,
            dialects=spoken,
            ledger_limit=0,
        )
        for name, spoken in dialects.items()
    }
    async with AsyncExitStack() as stack:
        for simulator in simulators.values():
            await stack.enter_async_context(serve_simulator(simulator))
        (folder / "sessions.d").mkdir()
        site = Site(folder, simulators, [], lifetime, password)
        site.standing += [site.open("lab") for _ in range(standing)]
        site.write_config()
        yield site
