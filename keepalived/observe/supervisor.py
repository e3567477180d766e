"""What systemd is told while the daemon runs: signs of life, and how things are."""

from __future__ import annotations

from collections.abc import Callable

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.notify import Notifier
from keepalived.keeper.observer import Snapshot
from keepalived.lease.timing import is_at_risk
from keepalived.observe.health import Health
from keepalived.observe.steps import Steps, at_once, walk

_STATUS_SECONDS = 5.0
_STATUS_SESSIONS = 5_000
"""Sessions that lengthen the time between two looks at all of them by a second."""
_STEP = 1_000
"""Sessions that are looked at before the loop may do something else: about a millisecond."""
_SIGNS_PER_PATIENCE = 3.0
"""How many signs of life fit into the watchdog's patience: two may be late."""


class Supervised:
    """Tells a supervisor how the daemon is.

    The order of calls: `ready`, then any number of reloads, `stopping`; `give_signs` and
    `tell_status` run beside them, from the start and from `ready` on, until cancelled.
    """

    def __init__(
        self,
        notifier: Notifier,
        health: Health,
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        self._notifier = notifier
        self._health = health
        self._snapshot = snapshot
        self._clock = clock
        self._remark = ""
        self._is_ready = False

    def ready(self) -> None:
        """Say that the daemon has started."""
        self._is_ready = True
        self._notifier.ready(self._status())

    def reloading(self) -> None:
        """Say that the configuration is read again. Nobody is told during the start: it goes on."""
        if self._is_ready:
            self._notifier.reloading()

    def reloaded(self, remark: str = "") -> None:
        """Say that a reload is over; `remark`, if any, stands in the status until the next one."""
        self._remark = remark
        if self._is_ready:
            self._notifier.ready(self._status())

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._notifier.stopping("stopping: giving sessions a parting renewal, and logging out")

    async def give_signs(self, patience: float) -> None:
        """Give signs of life often enough for a watchdog that waits `patience` seconds.

        None is given while a scheduler is stuck; and a loop that is stuck does not come here. Both
        are what the watchdog is there to end.
        """
        while True:
            if not self._health.complaints():
                self._notifier.alive()
            await sleep_until(self._clock, self._clock.boot() + patience / _SIGNS_PER_PATIENCE)

    async def tell_status(self) -> None:
        """Keep the status line as things are."""
        said = ""
        while True:
            pause = _STATUS_SECONDS
            if self._notifier.is_heard:
                snapshot = self._snapshot()
                pause += len(snapshot.sessions) / _STATUS_SESSIONS
                status = await walk(status_steps(snapshot, self._remark))
                if status != said:
                    self._notifier.status(status)
                    said = status
            await sleep_until(self._clock, self._clock.boot() + pause)

    def _status(self) -> str:
        return status_line(self._snapshot(), self._remark)


def status_line(snapshot: Snapshot, remark: str = "") -> str:
    """Return how things are: "12 sessions, next keep-alive in 34 s, 1 at risk"."""
    return at_once(status_steps(snapshot, remark))


def status_steps(snapshot: Snapshot, remark: str = "") -> Steps[str]:
    """Return, in steps, what `status_line` returns."""
    now = snapshot.now
    count = at_risk = overdue = 0
    next_due: float | None = None
    for place, session in enumerate(snapshot.sessions, start=1):  # may be a hundred thousand
        if place % _STEP == 0:
            yield
        if session.state.is_final:
            continue
        count += 1
        next_due = session.due if next_due is None else min(next_due, session.due)
        slack = session.slack(now)
        if slack is not None and slack < 0:
            overdue += 1
        elif is_at_risk(slack, session.lifetime):
            at_risk += 1
    parts = [f"{count} session{'' if count == 1 else 's'}"]
    if next_due is not None:
        wait = next_due - now
        parts.append(f"next keep-alive in {wait:.0f} s" if wait >= 1 else "a keep-alive under way")
    if at_risk:
        parts.append(f"{at_risk} at risk")
    if overdue:
        parts.append(f"{overdue} overdue")
    parts += [f"{vcenter.name} does not answer" for vcenter in snapshot.vcenters if not vcenter.up]
    if remark:
        parts.append(remark)
    return ", ".join(parts)
