"""A stage: one fault in one of the two modes, with all contenders at the same time."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.survive.contenders import Contender, Name, Task
from benchmarks.survive.faults import Fault
from benchmarks.survive.lanes import DOMAIN, LINK_NEAR, LOOPBACK, Lane, new_authority
from benchmarks.survive.pulse import felt
from benchmarks.survive.uploads import COMPLETES, SCRIPTS, Upload, Uploader
from benchmarks.survive.verdict import Cell, judge
from benchmarks.survive.world import World
from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve

STRIKES = 1.1
"""Start of a fault, in lifetimes since the sessions were opened."""
_PATIENCE = 2.0
"""How much longer than planned an upload may take, in lifetimes."""
_STILL = 0.05
"""For how many lifetimes the machine may stall."""
_ROOM = 0.5
_RESTARTED = 1.3
_LEDGER_LIMIT = 20_000
_USERNAME = "uploader@vsphere.local"
_PASSWORD = "first"  # noqa: S105 - guards nothing


class Outcome(NamedTuple):
    """The result of each contender, and whether the machine stalled, which makes it unreliable."""

    cells: dict[Name, Cell]
    is_disturbed: bool


@dataclass(frozen=True)
class Stage:
    """One row in one mode. `lifetime` is in seconds."""

    fault: Fault
    put_counts: bool
    lifetime: float
    world: World
    threads: int = 0
    """Number of a rival's threads; 0 means one for each session."""

    async def play(self, starting: asyncio.Lock) -> Outcome:
        """Run the stage, and return the results. Programs start under the lock."""
        async with AsyncExitStack() as stack:
            async with starting:
                entering = (stack.enter_async_context(self._lane(name)) for name in Name)
                lanes = [await each for each in entering]
                async with asyncio.TaskGroup() as tasks:
                    for lane in lanes:
                        tasks.create_task(lane.contender.start())
            async with felt() as pulse, asyncio.TaskGroup() as tasks:
                if self.fault.restarts:
                    tasks.create_task(self._reserve(starting))
                for lane in lanes:
                    tasks.create_task(self._drive(lane))
            cells = {lane.contender.name: judge(lane, self.fault.doomed) for lane in lanes}
            return Outcome(cells, pulse.latest > _STILL * self.lifetime)

    @asynccontextmanager
    async def _lane(self, name: Name) -> AsyncIterator[Lane]:
        """Create a lane, without starting its contender."""
        fault, world = self.fault, self.world
        simulator = Simulator(
            username=_USERNAME,
            password=_PASSWORD,
            session_timeout=self.lifetime,
            put_counts_as_activity=self.put_counts,
            ledger_limit=_LEDGER_LIMIT,
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca = new_authority(tls)
        mode = "counts" if self.put_counts else "no-count"
        kind = f"{fault.name}-{mode}-{name.name.lower()}-"
        folder = Path(tempfile.mkdtemp(prefix=kind, dir=world.folder))
        host = LINK_NEAR if fault.over_link else LOOPBACK
        async with serve(simulator, host, ssl_context=tls) as url:
            if fault.small_disk:
                world.mount_small_disk(folder)
            if fault.by_name:
                known_as = f"{fault.name}-{self.put_counts:d}.{DOMAIN}"
                world.remember_name(known_as)
                url = url.replace(host, known_as)
            task = Task(
                folder,
                url,
                _USERNAME,
                _PASSWORD,
                ca,
                self.lifetime,
                prefix=world.far_side if fault.over_link else (),
                extra=self._environ(folder),
                threads=self.threads,
            )
            contender = Contender(name, task)
            try:
                yield Lane(contender, simulator, tls, self.lifetime)
            finally:
                await contender.stop()

    def _environ(self, folder: Path) -> Mapping[str, str]:
        return self.world.clock_environ(folder) if self.fault.steps_clock else {}

    async def _drive(self, lane: Lane) -> None:
        """Open the sessions, start the uploads, strike, and wait for the end."""
        # Not the default context: reading the system's authorities would block the event loop.
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        url = lane.simulator.base_url
        async with Uploader(lane.simulator, url, trusting, self.lifetime) as uploader:
            if self.fault.from_the_start:
                await self.fault.strike(lane, self.world)
            opened_at = asyncio.get_running_loop().time()
            lane.uploads = [uploader.open(script) for script in SCRIPTS]
            lane.contender.keep([each.session_id for each in lane.uploads])
            async with asyncio.TaskGroup() as tasks:
                if not self.fault.from_the_start:
                    tasks.create_task(self._strike(lane))
                for upload in lane.uploads:
                    tasks.create_task(self._carry_out(uploader, lane, upload, opened_at))

    async def _reserve(self, starting: asyncio.Lock) -> None:
        """Prevent other stages from starting programs while killed ones restart."""
        await asyncio.sleep((STRIKES - _ROOM) * self.lifetime)
        async with starting:
            await asyncio.sleep((_ROOM + _RESTARTED) * self.lifetime)

    async def _strike(self, lane: Lane) -> None:
        await asyncio.sleep(STRIKES * self.lifetime)
        await self.fault.strike(lane, self.world)

    async def _carry_out(
        self, uploader: Uploader, lane: Lane, upload: Upload, opened_at: float
    ) -> None:
        try:
            async with asyncio.timeout((COMPLETES + _PATIENCE) * self.lifetime):
                await uploader.carry_out(upload, opened_at)
        except TimeoutError:
            upload.trouble = "not completed in time"
