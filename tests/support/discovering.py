"""Run discovery with an engine on the simulator, and uploads for it to find."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.settings import Settings
from keepalived.simulator.app import Simulator
from keepalived.simulator.errors import ApiError
from keepalived.simulator.resources import SourceType, TransferStatus
from keepalived.simulator.transfers import ReceivedUpload
from keepalived.simulator.wire import Request, Response
from keepalived.sources.discovery import OWNER, Discovery
from keepalived.validation import validate
from tests.support.engine import NAME, Engine, running_engine, simulator_in_loop, stop
from tests.support.yaml_site import Recorder

LOOK = 15.0
MINUTE = 60.0
HOUR = 3600.0
CHUNK = b"x" * 1000


def discovering(discover: object = True, **more: Any) -> Settings:
    """Return settings with the engine's vCenter and its `discover` setting."""
    vcenter = {"url": "http://vcenter.test", "discover": discover}
    return validate(Settings, {"vcenters": {NAME: vcenter}, **more})


@dataclass
class Scout:
    """Discovery, the engine that keeps found sessions alive, and the recorded events."""

    engine: Engine
    discovery: Discovery
    ear: Recorder

    def finds(self, session_id: str, kind: Kind = Kind.UPDATE) -> bool:
        """Whether discovery holds a session."""
        session = self.engine.registry.find(SessionKey(NAME, kind, session_id))
        return session is not None and any(hold.owner == OWNER for hold in session.holds)

    def state(self, session_id: str) -> State:
        return self.engine.state(SessionKey(NAME, Kind.UPDATE, session_id))

    def asked(self, route: str) -> int:
        """Return the number of requests of a route at the server."""
        return len(self.engine.simulator.ledger.requests(route))


@asynccontextmanager
async def scouting(
    simulator: Simulator,
    settings: Settings | None = None,
    *,
    handle: Callable[[Request], Awaitable[Response]] | None = None,
) -> AsyncIterator[Scout]:
    """Run an engine and discovery while the block runs."""
    settings = settings or discovering()
    policy = RenewalPolicy(stall_timeout=settings.stall_timeout)
    async with running_engine(simulator, policy=policy, handle=handle) as engine:
        ear = Recorder()
        discovery = Discovery(settings, engine.registry, ear, engine.clock)
        work = asyncio.create_task(discovery.run())
        try:
            yield Scout(engine, discovery, ear)
        finally:
            await stop(work)
            assert work.cancelled(), work.exception()


class Uploader:
    """An upload that is not registered with the daemon."""

    def __init__(self, simulator: Simulator, item_name: str = "image.ova") -> None:
        self.simulator = simulator
        self.library = simulator.library
        session = self.library.open_session(simulator.username, item_name=item_name)
        self.id, self.item_id = session.id, session.item_id

    @property
    def is_free(self) -> bool:
        """Whether another session could be opened on the item."""
        self.library.settle()
        return self.library.catalog.item(self.item_id).active_update_session is None

    @property
    def is_there(self) -> bool:
        """Whether the server still has the session."""
        try:
            self.library.sessions.get(Kind.UPDATE, self.id)
        except ApiError:
            return False
        return True

    def begin(self, name: str = "disk.vmdk") -> ReceivedUpload:
        """Announce a file and start to send it."""
        file = self.library.transfers.add(self.id, name, SourceType.PUSH)
        return self.library.transfers.begin_upload(file.ticket)

    def pull(self, name: str = "pulled.iso") -> None:
        """Let the server fetch a file."""
        self.library.transfers.add(self.id, name, SourceType.PULL, source_uri="http://x")

    def validating(self, name: str = "disk.vmdk") -> None:
        """Let the server validate a received file."""
        self.library.transfers.file(self.id, name).status = TransferStatus.VALIDATING

    def complete(self) -> None:
        self.library.sessions.complete(Kind.UPDATE, self.id)


@asynccontextmanager
async def scouting_an_upload(**settings: Any) -> AsyncIterator[tuple[Scout, Uploader]]:
    """Run an engine and discovery on a simulator with one upload while the block runs."""
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with scouting(simulator, discovering(**settings)) as scout:
        yield scout, uploader


async def sent(uploader: Uploader, seconds: float, *name: str) -> ReceivedUpload:
    """Start to upload a file, and send bytes for a while."""
    upload = uploader.begin(*name)
    await send(upload, seconds)
    return upload


async def send(upload: ReceivedUpload, seconds: float, *, every: float = 30.0) -> None:
    """Send bytes for a while."""
    for _ in range(round(seconds / every)):
        upload.write(CHUNK)
        await asyncio.sleep(every)
