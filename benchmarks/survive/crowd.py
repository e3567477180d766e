"""Five thousand sessions on one vCenter, and an outage that leaves half of them due at once."""

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
"""Seconds: what two cores can renew that many sessions in, the simulators included."""
THREADS = 8
"""What a rival keeps them with: as many requests at once as the daemon sends."""

_AFTER = 1.2
"""How long to look on once the fault has struck, in lifetimes: whatever is lost is lost by then."""


@dataclass(frozen=True)
class Crowd(Stage):
    """A stage without transfers: all sessions are silent, and completed at the end."""

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
