"""A stage with 5,000 sessions on one vCenter, and an outage that makes half of them due at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from benchmarks.survive.lanes import Lane
from benchmarks.survive.stage import Stage
from benchmarks.survive.uploads import SCRIPTS, Upload
from keepalived.lease.model import Kind
from keepalived.simulator.errors import ApiError

SESSIONS = 5000
LIFETIME = 60.0
"""Lifetime in seconds within which two cores can renew that many sessions, simulators included."""
THREADS = 8
"""Threads of a rival: as many concurrent requests as the daemon sends."""

_AFTER = 1.2
"""How long to wait after the fault, in lifetimes: all losses have happened by then."""


@dataclass(frozen=True)
class Crowd(Stage):
    """A stage without transfers: all sessions are idle, and are completed at the end."""

    threads: int = THREADS

    async def _drive(self, lane: Lane) -> None:
        lane.uploads = [self._open(lane) for _ in range(SESSIONS)]
        lane.contender.keep([each.session_id for each in lane.uploads])
        await asyncio.sleep(self.lifetime)
        await self.fault.strike(lane, self.world)
        await asyncio.sleep(_AFTER * self.lifetime)
        await lane.contender.stop()
        for upload in lane.uploads:
            try:
                lane.simulator.library.sessions.complete(Kind.UPDATE, upload.session_id)
            except ApiError as error:
                upload.trouble = error.message

    def _open(self, lane: Lane) -> Upload:
        session = lane.simulator.library.open_session(lane.simulator.username)
        return Upload(SCRIPTS[0], session.id, session.item_id)
