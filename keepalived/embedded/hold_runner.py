"""Keep one session alive in a running event loop: the steps of a hold.

1. enter  renew the session at once; the vCenter's answer decides whether the block is entered
2. keep   renew it when it is due; reported progress goes with the next renewal
3. poll   request its state once more, so that a loss is noticed
4. leave  release it, never cancel it; log out if we logged in
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum

from keepalived.embedded.arguments import HoldArguments
from keepalived.embedded.errors import (
    AccessRefused,
    HoldError,
    SessionLost,
    VCenterUnavailable,
    describe_end,
)
from keepalived.embedded.hold_state import HoldState, logger
from keepalived.engine import Engine, MakeTransport, one_vcenter
from keepalived.host.clock import Clock
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.registry import Registry
from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.events import Event
from keepalived.lease.holds import Hold, Owner, OwnerKind, latest_until
from keepalived.lease.model import Kind, State
from keepalived.lease.progress import UNKNOWN, Progress
from keepalived.lease.stalls import STALL_TIMEOUT
from keepalived.lease.timing import is_at_risk
from keepalived.vcenter.connect import build_transport

_ROUND_SECONDS = 5.0
_POLL_SECONDS = 0.01
_REFUSALS = frozenset({Outcome.LOGIN_REFUSED, Outcome.UNAUTHENTICATED, Outcome.FORBIDDEN})


class Departure(Enum):
    """How a block is left: after one more poll of the session, or without further requests."""

    POLL = "poll"
    AT_ONCE = "at once"


@dataclass(eq=False, slots=True)
class HoldRunner:
    """Keeps one session while `run` runs, and listens to its events, all in one event loop.

    `connect_timeout` is how long to wait for a silent vCenter at the start, in seconds.
    """

    wanted: HoldArguments
    hold_state: HoldState
    clock: Clock
    connect_timeout: float
    make_transport: MakeTransport = build_transport
    _progress: Progress = field(default=UNKNOWN, init=False)
    _registry: Registry | None = field(default=None, init=False)
    _first: asyncio.Future[None] | None = field(default=None, init=False)
    _left: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _departure: Departure = field(default=Departure.AT_ONCE, init=False)
    _last_error: str = field(default="no answer", init=False)
    _is_in_danger: bool = field(default=False, init=False)

    async def run(self, entered: Callable[[], None]) -> None:
        """Keep the session until `leave` is called; call `entered` after the first renewal.

        Raises SessionLost, AccessRefused and VCenterUnavailable before that.
        """
        wanted, key = self.wanted, self.wanted.key
        self._first = asyncio.get_running_loop().create_future()
        async with one_vcenter(
            key.vcenter,
            wanted.settings,
            self,
            self.clock,
            stall_timeout=STALL_TIMEOUT,
            make_transport=self.make_transport,
        ) as (engine, keeper):
            self._registry = registry = engine.registry
            now, uid = self.clock.boot(), os.getuid()
            owner = Owner(OwnerKind.PROCESS, str(os.getpid()))
            until = latest_until(owner.kind, now)
            hold = Hold(uid, owner, now, until, self._progress, token=wanted.token)
            registry.hold(key, hold)
            try:
                await self._enter(self._first)
                await self._round_complete(keeper, registry)
                if self.hold_state.end is not None:
                    raise SessionLost(self.hold_state.end)
                entered()
                await self._left.wait()
                if self._departure is Departure.POLL:
                    await self._poll_once_more(engine, keeper)
            finally:
                self._left.set()
                registry.release(key, uid, owner)

    def report(self, progress: Progress) -> None:
        """Report the transfer's progress to the server with the next renewal."""
        last, now = self._progress.client_progress, progress.client_progress
        if now is None or (last is not None and now <= last):
            return  # Several threads may report, and their calls may arrive out of order.
        self._progress = progress
        if self._registry is None:
            return
        session = self._registry.find(self.wanted.key)
        if session is not None and session.ending is None:
            for hold in session.holds:
                self._registry.hold(session.key, replace(hold, progress=progress))

    def leave(self, departure: Departure) -> None:
        """Let `run` end. The first call decides how."""
        if not self._left.is_set():
            self._departure = departure
            self._left.set()

    async def _enter(self, first: asyncio.Future[None]) -> None:
        left = asyncio.create_task(self._left.wait(), name="left")
        await asyncio.wait(
            (first, left), timeout=self.connect_timeout, return_when=asyncio.FIRST_COMPLETED
        )
        left.cancel()
        if first.done():
            first.result()
        elif self._left.is_set():
            raise HoldError("the block was left before it had been entered")
        else:
            raise VCenterUnavailable(
                f"{self.wanted.settings.url} did not renew the session within "
                f"{self.connect_timeout:g} s: {self._last_error}"
            )

    async def _poll_once_more(self, engine: Engine, keeper: Keeper) -> None:
        """Find out the session's state since its last renewal."""
        key = self.wanted.key
        await engine.renew(key)
        await self._round_complete(keeper, engine.registry)
        session = engine.registry.find(key)
        slack = None if session is None else session.slack(self.clock.boot())
        if slack is not None and slack < 0:
            logger.warning(
                "%s session %s could not be renewed for longer than its lifetime (%s); its state "
                "on the server is unknown",
                *(key.kind, key.id, self._last_error),
            )

    async def _round_complete(self, keeper: Keeper, registry: Registry) -> None:
        """Return once the server has answered the requests of a round: state, files, item.

        The item's version from before shows at the end whether the content arrived.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROUND_SECONDS):
                # The registry has no event for the end of a round.
                while (  # noqa: ASYNC110
                    keeper.view().up
                    and (session := registry.find(self.wanted.key)) is not None
                    and session.is_due(self.clock.boot())
                ):
                    await asyncio.sleep(_POLL_SECONDS)

    def notify(self, event: Event) -> None:
        """Report events that concern the script; warnings go to the log of `keepalived`."""
        match event:
            case events.Renewed(key):
                self.hold_state.state = State.ACTIVE
                self._answer(None)
                if self._is_in_danger:
                    self._is_in_danger = False
                    logger.warning("%s session %s was renewed again", key.kind, key.id)
            case events.RenewalFailed():
                self._renewal_failed(event)
            case events.RenewalWithoutEffect(key):
                text = "%s session %s: keep-alives are answered, but have no effect on the server"
                logger.warning(text, key.kind, key.id)
            case events.FileFailed(key, file):
                why = file.error_message or "the server gives no reason"
                text = "%s session %s: file %s failed: %s"
                logger.warning(text, key.kind, key.id, file.name, why)
            case events.TokenRefused(key):
                refusal = AccessRefused("the vCenter rejects the API token (401)")
                if not self._answer(refusal):
                    logger.warning(
                        "the API token lent for %s session %s is no longer accepted (401): the "
                        "session cannot be renewed",
                        *(key.kind, key.id),
                    )
            case events.SessionEnd():
                self._ended(event)

    def _renewal_failed(self, event: events.RenewalFailed) -> None:
        """Refuse entry for errors that no retry fixes; later, warn while there is time to act."""
        key, slack = event.key, event.slack
        self._last_error = event.detail or event.outcome.value
        if event.outcome in _REFUSALS:
            self._answer(AccessRefused(self._last_error))
        elif event.outcome is Outcome.REDIRECTED:
            self._answer(VCenterUnavailable(self._last_error))
        if slack is not None and is_at_risk(slack, event.lifetime):
            if not self._is_in_danger:
                text = "%s session %s cannot be renewed: %s; %.0f s left"
                logger.warning(text, key.kind, key.id, self._last_error, max(0.0, slack))
            self._is_in_danger = True

    def _ended(self, end: events.SessionEnd) -> None:
        """Report the end to the script, unless the script itself released the session."""
        if end.state is State.RELEASED and self._left.is_set():
            self.hold_state.state = State.RELEASED
            return
        is_entered = not self._answer(SessionLost(end))
        if is_entered and (is_loss(end) or end.state in (State.REMOVED, State.RELEASED)):
            logger.warning("%s", describe_end(end))
        self.hold_state.ended(end)

    def _answer(self, error: HoldError | None) -> bool:
        """Report the result of entering; return whether the caller was still waiting for it."""
        if self._first is None or self._first.done():
            return False
        if error is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(error)
        return True


def is_loss(end: events.SessionEnd) -> bool:
    """Whether a session ended in a way that the script cannot have intended.

    A download session may be cancelled or deleted after use. A deleted update session is lost if
    its item's content is known not to have changed.
    """
    if end.state.is_failure:
        return True
    if end.key.kind is Kind.DOWNLOAD:
        return False
    is_removed = end.state is State.REMOVED and end.content_moved is False
    return is_removed or end.state is State.CANCELED
