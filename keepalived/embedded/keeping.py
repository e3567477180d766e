"""Keeping one session, within a running event loop, from the first answer to the last look.

1. enter  the session is renewed at once; what the vCenter says to that decides
2. keep   renewed when it falls due; progress that is told goes with the next renewal
3. look   asked once more how the session stands, so that a loss does not go unnoticed
4. leave  let go, never cancelled; logged out where we logged in
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from keepalived.embedded.arguments import Wanted
from keepalived.embedded.engine import Engine, MakeTransport, engine
from keepalived.embedded.errors import (
    AccessRefused,
    HoldError,
    SessionLost,
    VCenterUnavailable,
    words_for,
)
from keepalived.embedded.link import Link, logger
from keepalived.embedded.silence import Silence
from keepalived.host.clock import Clock
from keepalived.keeper.observer import SessionEnd
from keepalived.keeper.registry import Registry
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Hold, Owner, OwnerKind, latest_until
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import UNKNOWN, Progress
from keepalived.lease.stalls import STALL_TIMEOUT
from keepalived.lease.timing import is_at_risk
from keepalived.vcenter.http import build_transport

_ROUND_SECONDS = 5.0
_POLL_SECONDS = 0.01
_REFUSALS = frozenset({Outcome.LOGIN_REFUSED, Outcome.UNAUTHENTICATED, Outcome.FORBIDDEN})


class Parting(Enum):
    """How a block is left: after one more look at the session, or with nothing asked any more."""

    LOOK = "look"
    AT_ONCE = "at once"


class Keeping(Silence):
    """Keeps one session while `run` runs. All methods belong to its event loop.

    `patience` is how long, in seconds, a vCenter that does not answer is waited for at the start.
    """

    def __init__(
        self,
        wanted: Wanted,
        link: Link,
        clock: Clock,
        patience: float,
        make_transport: MakeTransport = build_transport,
    ) -> None:
        self._wanted = wanted
        self._link = link
        self._clock = clock
        self._patience = patience
        self._make_transport = make_transport
        self._uid = os.getuid()
        self._owner = Owner(OwnerKind.PROCESS, str(os.getpid()))
        self._progress = UNKNOWN
        self._registry: Registry | None = None
        self._first: asyncio.Future[None] | None = None
        self._left = asyncio.Event()
        self._parting = Parting.AT_ONCE
        self._trouble = "no answer"
        self._is_in_danger = False

    async def run(self, entered: Callable[[], None]) -> None:
        """Keep the session until `leave` is called; `entered` is called once it was renewed.

        Raises SessionLost, AccessRefused and VCenterUnavailable before that.
        """
        wanted, key = self._wanted, self._wanted.key
        self._first = asyncio.get_running_loop().create_future()
        async with engine(
            key.vcenter,
            wanted.settings,
            self,
            self._clock,
            stall_timeout=STALL_TIMEOUT,
            make_transport=self._make_transport,
        ) as kept:
            self._registry = registry = kept.registry
            now = self._clock.boot()
            until = latest_until(self._owner.kind, now)
            registry.hold(
                key, Hold(self._uid, self._owner, now, until, self._progress, token=wanted.token)
            )
            try:
                await self._enter(self._first)
                await self._round_over(kept)
                if self._link.end is not None:
                    raise SessionLost(self._link.end)
                entered()
                await self._left.wait()
                if self._parting is Parting.LOOK:
                    await self._look_once_more(kept)
            finally:
                self._left.set()
                registry.release(key, self._uid, self._owner)

    def tell(self, progress: Progress) -> None:
        """Let the next renewal tell the server how far the transfer has come."""
        told, now = self._progress.client_progress, progress.client_progress
        if now is None or (told is not None and now <= told):
            return  # Several threads may tell, and their calls may overtake each other.
        self._progress = progress
        if self._registry is None:
            return
        session = self._registry.find(self._wanted.key)
        if session is not None and session.ending is None:
            for hold in session.holds:
                self._registry.hold(session.key, replace(hold, progress=progress))

    def leave(self, parting: Parting) -> None:
        """Let `run` come to its end. Whoever called first says how."""
        if not self._left.is_set():
            self._parting = parting
            self._left.set()

    async def _enter(self, first: asyncio.Future[None]) -> None:
        left = asyncio.create_task(self._left.wait(), name="left")
        await asyncio.wait(
            (first, left), timeout=self._patience, return_when=asyncio.FIRST_COMPLETED
        )
        left.cancel()
        if first.done():
            first.result()
        elif self._left.is_set():
            raise HoldError("the block was left before it had been entered")
        else:
            raise VCenterUnavailable(
                f"{self._wanted.settings.url} could not be asked within {self._patience:g} s: "
                f"{self._trouble}"
            )

    async def _look_once_more(self, kept: Engine) -> None:
        """Find out what has become of the session since it was renewed last."""
        key = self._wanted.key
        await kept.renew(key)
        await self._round_over(kept)
        session = kept.registry.find(key)
        slack = None if session is None else session.slack(self._clock.boot())
        if slack is not None and slack < 0:
            logger.warning(
                "%s session %s could not be renewed for longer than it lives (%s): only the "
                "server knows what became of it",
                *(key.kind, key.id, self._trouble),
            )

    async def _round_over(self, kept: Engine) -> None:
        """Return once the server has said what is asked in a round: state, files, item.

        What the item was before tells at the end whether the content arrived.
        """
        try:
            async with asyncio.timeout(_ROUND_SECONDS):
                # A round's end is no event of the registry's.
                while _is_asked_about(  # noqa: ASYNC110
                    kept, self._wanted.key, self._clock.boot()
                ):
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            pass

    # -- what the engine tells

    def renewed(
        self, key: SessionKey, *, first: bool, slack: float | None, progress: int | None
    ) -> None:
        """Let the block be entered; give the all-clear after a warning."""
        self._link.state = State.ACTIVE
        self._answer(None)
        if self._is_in_danger:
            self._is_in_danger = False
            logger.warning("%s session %s was renewed again", key.kind, key.id)

    def renewal_failed(
        self,
        key: SessionKey,
        outcome: Outcome,
        detail: str,
        *,
        retry_in: float,
        slack: float | None,
    ) -> None:
        """Say at the start what no second try mends; later, warn while there is time to act."""
        self._trouble = detail or outcome.value
        if outcome in _REFUSALS:
            self._answer(AccessRefused(self._trouble))
        elif outcome is Outcome.REDIRECTED:
            self._answer(VCenterUnavailable(self._trouble))
        session = None if self._registry is None else self._registry.find(key)
        if session is not None and slack is not None and is_at_risk(slack, session.lifetime):
            if not self._is_in_danger:
                words = "%s session %s cannot be renewed: %s; %.0f s left"
                logger.warning(words, key.kind, key.id, self._trouble, max(0.0, slack))
            self._is_in_danger = True

    def renewal_without_effect(self, key: SessionKey, left: float | None) -> None:
        """Warn: the session is about to be lost, whatever is sent for it."""
        words = "%s session %s: keep-alives are answered, but have no effect on the server"
        logger.warning(words, key.kind, key.id)

    def file_failed(self, key: SessionKey, file: FileInfo) -> None:
        """Pass the server's words on."""
        why = file.error_message or "the server does not say why"
        logger.warning("%s session %s: file %s failed: %s", key.kind, key.id, file.name, why)

    def token_refused(self, key: SessionKey, owner: Owner, *, fallback: bool) -> None:
        """Nobody but the script can replace its token."""
        if not self._answer(AccessRefused("the vCenter does not take the API token (401)")):
            logger.warning(
                "the API token that was lent for %s session %s is not taken any more (401): the "
                "session cannot be renewed",
                *(key.kind, key.id),
            )

    def session_ended(self, end: SessionEnd) -> None:
        """Tell the script, unless it is the script that lets go."""
        if end.state is State.RELEASED and self._left.is_set():
            self._link.state = State.RELEASED
            return
        is_entered = not self._answer(SessionLost(end))
        if is_entered and (is_loss(end) or end.state in (State.REMOVED, State.RELEASED)):
            logger.warning("%s", words_for(end))
        self._link.ended(end)

    def vcenter_down(self, vcenter: str, outcome: Outcome, detail: str) -> None:
        """Remember why."""
        self._trouble = detail or outcome.value

    def _answer(self, error: HoldError | None) -> bool:
        """Say how entering went; return whether anybody still waits for that."""
        if self._first is None or self._first.done():
            return False
        if error is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(error)
        return True


def is_loss(end: SessionEnd) -> bool:
    """Whether a session ended otherwise than a script can have meant it to.

    A download session may be cancelled or deleted once it has served. An update session that was
    deleted is lost where its item's content is known not to have moved.
    """
    if end.state.is_failure:
        return True
    if end.key.kind is Kind.DOWNLOAD:
        return False
    is_removed = end.state is State.REMOVED and end.content_moved is False
    return is_removed or end.state is State.CANCELED


def _is_asked_about(kept: Engine, key: SessionKey, now: float) -> bool:
    session = kept.registry.find(key)
    return kept.keeper.view().up and session is not None and session.is_due(now)
