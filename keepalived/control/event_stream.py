"""The event stream of the control socket: converts events and queues them for its readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from keepalived.control.limits import DEFAULT_LIMITS
from keepalived.control.views import label
from keepalived.host.clock import Clock
from keepalived.lease import events
from keepalived.lease.model import SessionKey, State

Fact = str | int | float | bool | None

EVENTS_LOST = "events_lost"


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One event as the stream reports it, at `at` seconds since the epoch.

    It concerns a session, a vCenter, or the daemon as a whole. `uid` is set if it concerns only
    that user.
    """

    name: str
    at: float
    key: SessionKey | None = None
    vcenter: str | None = None
    uid: int | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


class Subscription:
    """The queue of events that one reader has not read yet."""

    def __init__(self, wants: Callable[[StreamEntry], bool], size: int) -> None:
        self._wants = wants
        self._size = size
        self._waiting: deque[StreamEntry] = deque()
        self._lost = 0
        self._closed = False
        self._wake = asyncio.Event()

    def close(self) -> None:
        """Accept no more events: `next` returns the queued ones, and then None."""
        self._closed = True
        self._wake.set()

    def offer(self, entry: StreamEntry) -> None:
        """Queue an entry if it is wanted; count it as lost if the queue is full."""
        if self._closed or not self._wants(entry):
            return
        if len(self._waiting) >= self._size:
            self._lost += 1
        else:
            self._report_losses(entry.at)
            self._waiting.append(entry)
        self._wake.set()

    async def next(self) -> StreamEntry | None:
        """Wait for the next event and return it; None once closed and empty.

        An `events_lost` event reports the `count` of events that were dropped.
        """
        while not self._waiting:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        entry = self._waiting.popleft()
        if not self._waiting:
            self._report_losses(entry.at)
        return entry

    def _report_losses(self, at: float) -> None:
        if self._lost:
            self._waiting.append(StreamEntry(EVENTS_LOST, at, facts={"count": self._lost}))
            self._lost = 0


class EventStream:
    """A listener that offers events to its subscriptions."""

    def __init__(self, clock: Clock) -> None:
        self.subscriptions: set[Subscription] = set()
        self._clock = clock

    @contextmanager
    def subscribe(
        self, wants: Callable[[StreamEntry], bool], size: int = DEFAULT_LIMITS.events_waiting
    ) -> Iterator[Subscription]:
        """Subscribe to the entries that `wants` accepts when they occur."""
        subscription = Subscription(wants, size)
        self.subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self.subscriptions.discard(subscription)
            subscription.close()

    def notify(self, event: events.Event) -> None:
        """Offer an event to all subscriptions, if the stream reports its kind."""
        if not self.subscriptions:
            return
        entry = self._entry(event)
        if entry is not None:
            for subscription in tuple(self.subscriptions):
                subscription.offer(entry)

    def _entry(self, event: events.Event) -> StreamEntry | None:
        def entry(name: str, uid: int | None = None, **facts: Fact) -> StreamEntry:
            key, vcenter = getattr(event, "key", None), getattr(event, "vcenter", None)
            return StreamEntry(name, self._clock.wall(), key, vcenter, uid, facts)

        match event:
            case events.Renewed(_, first, slack, progress):
                return entry("renewed", first=first, slack=slack, progress=progress)
            case events.RenewalFailed(_, outcome, detail, retry_in, slack):
                return entry(
                    "renewal_failed",
                    outcome=outcome.value,
                    detail=detail,
                    retry_in=retry_in,
                    slack=slack,
                )
            case events.HoldTaken(_, hold):
                return entry("hold_taken", hold.uid, owner=label(hold.owner))
            case events.HoldReleased(_, hold, State.PENDING | State.ACTIVE):
                return entry("hold_released", hold.uid, owner=label(hold.owner))
            case events.LifetimeLearned(_, _, lifetime):
                return entry("lifetime_learned", lifetime=lifetime)
            case events.RenewalWithoutEffect(_, left):
                return entry("renewal_without_effect", left=left)
            case events.FileFailed(_, file):
                return entry("file_failed", file=file.name, error_message=file.error_message)
            case events.SessionStalled(_, idle):
                return entry("session_stalled", idle=idle)
            case events.SessionMoving():
                return entry("session_moving")
            case events.TokenRefused(_, owner, fallback):
                return entry("token_refused", owner=owner.kind.value, fallback=fallback)
            case events.SessionEnd():
                return entry(
                    "session_ended",
                    state=event.state.value,
                    reason=event.reason,
                    error_message=event.error_message,
                    library=event.library,
                    item=event.item,
                    progress=event.progress,
                    content_moved=event.content_moved,
                )
            case events.VCenterDown(_, outcome, detail):
                return entry("vcenter_down", outcome=outcome.value, detail=detail)
            case events.VCenterUp(_, down_seconds):
                return entry("vcenter_up", down_seconds=down_seconds)
            case events.LoginTried(_, outcome):
                return entry("login", outcome=outcome)
            case events.SourceFailed(source, problems):
                return entry("source_failed", source=source, count=len(problems))
            case events.SourceRecovered(source):
                return entry("source_recovered", source=source)
        return None
