"""Who is on the account's list of sessions: a look that names no session, and so touches none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from keepalived.host.clock import Clock, sleep_until
from keepalived.lease.model import Kind
from keepalived.vcenter.client import Client


@dataclass(eq=False, slots=True)
class ListPoller:
    """Looks at the list now and then, and remembers when each session was on it.

    Times are seconds on the boot-time clock. A look that fails says nothing.
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
        """For how many seconds no look has been answered."""
        return self.clock.boot() - self._answered_at

    def last_seen(self, session_id: str) -> float | None:
        """When the session was on the list for the last time; None if it never was."""
        return self._seen.get(session_id)

    def missed(self, session_id: str) -> float | None:
        """When the session, which had been on the list, was first missing from it."""
        return self._missed.get(session_id)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await sleep_until(self.clock, self.clock.boot() + self.seconds_between())

    async def look(self) -> None:
        """Look once."""
        answer = await self.client.list(Kind.UPDATE, timeout=self.timeout)
        if answer.value is None:
            return
        self._answered_at = answer.received_at
        listed = set(answer.value)
        for session_id in listed:
            # It was there when the list was made, which was not before it was asked for.
            self._seen[session_id] = answer.sent_at
            self._missed.pop(session_id, None)
        for session_id in self._seen.keys() - listed:
            self._missed.setdefault(session_id, answer.received_at)
