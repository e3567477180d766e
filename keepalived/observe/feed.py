"""Events as they happen, for whoever listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from keepalived.host.clock import Clock
from keepalived.keeper.observer import Observer, SessionEnd
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Owner
from keepalived.lease.model import SessionKey

Fact = str | int | float | bool | None

QUEUE_SIZE = 256
"""How many events wait for a slow listener before it loses some."""

EVENTS_LOST = "events_lost"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at `at` seconds since the epoch.

    Belongs to a session, or to a vCenter, or to the daemon as a whole; `uid` is set where it
    concerns nobody but that user.
    """

    name: str
    at: float
    key: SessionKey | None = None
    vcenter: str | None = None
    uid: int | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


class Subscription:
    """What one listener has not read yet. Open while used as a context manager."""

    def __init__(self, feed: Feed, wants: Callable[[Event], bool], size: int) -> None:
        self._feed = feed
        self._wants = wants
        self._size = size
        self._waiting: deque[Event] = deque()
        self._lost = 0
        self._closed = False
        self._wake = asyncio.Event()

    def __enter__(self) -> Self:
        self._feed.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hear nothing more: `next` returns what waits already, and then None."""
        self._feed.remove(self)
        self._closed = True
        self._wake.set()

    def offer(self, event: Event) -> None:
        """Queue an event if it is wanted; where there is no room, count it as lost."""
        if not self._wants(event):
            return
        if len(self._waiting) >= self._size:
            self._lost += 1
        else:
            self._tell_losses(event.at)
            self._waiting.append(event)
        self._wake.set()

    async def next(self) -> Event | None:
        """Return the next event, waiting for it; None once closed.

        An event `events_lost` with the `count` stands where some are missing.
        """
        while not self._waiting:
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        event = self._waiting.popleft()
        if not self._waiting:
            self._tell_losses(event.at)
        return event

    def _tell_losses(self, at: float) -> None:
        if self._lost:
            self._waiting.append(Event(EVENTS_LOST, at, facts={"count": self._lost}))
            self._lost = 0


class Feed:
    """An observer that passes everything on to `inner`, and tells subscribers what is news.

    `holds_changed` is called after a hold was taken and before one is let go: who holds what is
    not for everybody's ears, so that the events of holds are made by whoever knows whose they are.
    It is called as well when a session has ended.
    """

    def __init__(self, inner: Observer, clock: Clock) -> None:
        self.holds_changed: Callable[[SessionKey], None] = ignore_holds
        self._inner = inner
        self._clock = clock
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, wants: Callable[[Event], bool], size: int = QUEUE_SIZE) -> Subscription:
        """Listen to the events that `wants` likes, asked at the moment of each event."""
        return Subscription(self, wants, size)

    def add(self, subscription: Subscription) -> None:
        """Begin to tell a subscription."""
        self._subscriptions.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Tell a subscription nothing more."""
        self._subscriptions.discard(subscription)

    def publish(
        self,
        name: str,
        *,
        key: SessionKey | None = None,
        vcenter: str | None = None,
        uid: int | None = None,
        **facts: Fact,
    ) -> None:
        """Tell the subscribers."""
        if self._subscriptions:
            event = Event(name, self._clock.wall(), key, vcenter, uid, facts)
            for subscription in tuple(self._subscriptions):
                subscription.offer(event)

    # -- what the engine tells

    def hold_taken(self, key: SessionKey, source: str) -> None:
        """Pass it on."""
        self._inner.hold_taken(key, source)
        self.holds_changed(key)

    def hold_released(self, key: SessionKey, source: str) -> None:
        """Pass it on."""
        self._inner.hold_released(key, source)
        self.holds_changed(key)

    def keep_alive_answered(self, key: SessionKey, outcome: Outcome, seconds: float) -> None:
        """Pass it on; what it means for the session follows."""
        self._inner.keep_alive_answered(key, outcome, seconds)

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """Tell it."""
        self._inner.renewed(key, first=first, slack=slack, progress=progress)
        self.publish("renewed", key=key, first=first, slack=slack, progress=progress)

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """Tell it."""
        self._inner.renewal_failed(key, outcome, detail, retry_in=retry_in, slack=slack)
        self.publish(
            "renewal_failed",
            key=key,
            outcome=outcome.value,
            detail=detail,
            retry_in=retry_in,
            slack=slack,
        )

    def attempt_started(self, vcenter: str, lag: float) -> None:
        """Pass it on."""
        self._inner.attempt_started(vcenter, lag)

    def lifetime_learned(
        self,
        key: SessionKey,
        before: float,
        after: float,
        *,
        configured: float | None = None,
        clock_ahead: float | None = None,
    ) -> None:
        """Tell it."""
        self._inner.lifetime_learned(
            key, before, after, configured=configured, clock_ahead=clock_ahead
        )
        self.publish("lifetime_learned", key=key, lifetime=after)

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """Tell it."""
        self._inner.renewal_without_effect(key, left)
        self.publish("renewal_without_effect", key=key, left=left)

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """Tell it."""
        self._inner.file_failed(key, file)
        self.publish("file_failed", key=key, file=file.name, error_message=file.error_message)

    def stalled(self, key: SessionKey, idle: float) -> None:
        """Tell it."""
        self._inner.stalled(key, idle)
        self.publish("session_stalled", key=key, idle=idle)

    def moving(self, key: SessionKey) -> None:
        """Tell it."""
        self._inner.moving(key)
        self.publish("session_moving", key=key)

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """Tell it."""
        self._inner.token_refused(key, owner, fallback=fallback)
        self.publish("token_refused", key=key, owner=owner.kind.value, fallback=fallback)

    def session_ended(self, end: SessionEnd) -> None:
        """Tell it."""
        self._inner.session_ended(end)
        self.publish(
            "session_ended",
            key=end.key,
            state=end.state.value,
            reason=end.reason,
            error_message=end.error_message,
            library=end.library,
            item=end.item,
            progress=end.progress,
            content_moved=end.content_moved,
        )
        self.holds_changed(end.key)

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Tell it."""
        self._inner.vcenter_down(vcenter, outcome, detail)
        self.publish("vcenter_down", vcenter=vcenter, outcome=outcome.value, detail=detail)

    def vcenter_up(self, vcenter: str, down_seconds: float) -> None:
        """Tell it."""
        self._inner.vcenter_up(vcenter, down_seconds)
        self.publish("vcenter_up", vcenter=vcenter, down_seconds=down_seconds)

    def login(self, vcenter: str, outcome: str) -> None:
        """Tell it."""
        self._inner.login(vcenter, outcome)
        self.publish("login", vcenter=vcenter, outcome=outcome)

    def source_failed(self, source: str, problems: tuple[str, ...]) -> None:
        """Tell that it failed; what is wrong stands in the log."""
        self._inner.source_failed(source, problems)
        self.publish("source_failed", source=source, count=len(problems))

    def source_recovered(self, source: str) -> None:
        """Tell it."""
        self._inner.source_recovered(source)
        self.publish("source_recovered", source=source)


def ignore_holds(_key: SessionKey) -> None:
    """Keep no count of the holds."""
