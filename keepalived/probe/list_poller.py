"""Poll the list of the account's sessions, a request that does not touch any session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keepalived.host.clock import Clock, sleep_until
from keepalived.lease.model import Kind
from keepalived.vcenter.client import Client


@dataclass(eq=False, slots=True)
class ListPoller:
    """Polls the list, and records when each session was on it.

    Times are seconds on the boot-time clock. Failed polls are ignored.
    """

    client: Client
    clock: Clock
    seconds_between: Callable[[], float]
    timeout: float
    _seen: dict[str, float] = field(default_factory=dict, init=False)
    _missed: dict[str, float] = field(default_factory=dict, init=False)
    _answered_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._answered_at = self.clock.boot()

    @property
    def silent_for(self) -> float:
        """Seconds since the last poll that was answered."""
        return self.clock.boot() - self._answered_at

    def last_seen(self, session_id: str) -> float | None:
        """Return when the session was last on the list; None if it never was."""
        return self._seen.get(session_id)

    def missed(self, session_id: str) -> float | None:
        """Return when the session was first missing after it had been on the list, or None."""
        return self._missed.get(session_id)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.poll()
            await sleep_until(self.clock, self.clock.boot() + self.seconds_between())

    async def poll(self) -> None:
        """Poll once."""
        answer = await self.client.list(Kind.UPDATE, timeout=self.timeout)
        if answer.value is None:
            return
        self._answered_at = answer.received_at
        listed = set(answer.value)
        for session_id in listed:
            # The server made the list at or after the time of the request.
            self._seen[session_id] = answer.sent_at
            self._missed.pop(session_id, None)
        for session_id in self._seen.keys() - listed:
            self._missed.setdefault(session_id, answer.received_at)
