"""Run the engine on a vCenter whose answers the test decides, and record all events.

For cases that the simulator does not cover: timeouts, tokens and other arguments of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome, SessionInfo
from keepalived.lease.events import Event
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session
from tests.support.engine import NAME, LoopClock, stop

EventT = TypeVar("EventT")

BOOT = 1000.0
"""The boot-time clock's value when the test begins."""

SCRIPT = Owner(OwnerKind.TIME_LIMIT, "60")
LINE = Owner(OwnerKind.FILE, "a.yaml")


class Sent(NamedTuple):
    """A request, `at` seconds after the test began. `of` is its subject, if any."""

    at: float
    what: str
    of: str | Kind | None
    timeout: float
    token: str | None = None
    kind: Kind | None = None
    progress: int | None = None


@dataclass(frozen=True)
class Reply:
    """The answer to a request, and its delay in seconds; None is without a turn of the loop."""

    outcome: Outcome = Outcome.OK
    value: Any = None
    took: float | None = 0.0
    detail: str = ""
    retry_after: float | None = None
    status: int | None = None


def as_usual(sent: Sent) -> Reply:
    """Answer successfully."""
    values = {
        "get": SessionInfo(str(sent.of), "ACTIVE", "item-1", "1"),
        "files": (),
        "item": ItemInfo("item-1", "disk", "1", "Templates"),
        "list": (),
    }
    return Reply(value=values.get(sent.what))


class ScriptedVCenter:
    """Answers with `reply`'s results; a request that takes longer than its timeout fails."""

    def __init__(self, clock: LoopClock) -> None:
        self.reply: Callable[[Sent], Reply] = as_usual
        self.sent: list[Sent] = []
        self.closed: list[float] = []
        self.at_once = 0
        self._clock = clock
        self._began = clock.boot()

    def of(self, *what: str, key: SessionKey | None = None) -> list[Sent]:
        """Return the requests of these kinds, of one session or of all."""
        wanted = (each for each in self.sent if each.what in what)
        return [each for each in wanted if key is None or each.of == key.id]

    def times(self, what: str, key: SessionKey | None = None) -> list[float]:
        """Return when these requests were sent."""
        return [each.at for each in self.of(what, key=key)]

    async def _ask(self, what: str, of: str | Kind | None, *how: Any) -> Answer[Any]:
        timeout, token, kind, progress = how
        began = self._clock.boot()
        sent = Sent(round(began - self._began, 3), what, of, timeout, token, kind, progress)
        self.sent.append(sent)
        reply = self.reply(sent)
        self.at_once += 1
        try:
            if reply.took is not None:
                await asyncio.sleep(min(reply.took, timeout))
                if reply.took > timeout:
                    return Answer(Outcome.TIMED_OUT, began, self._clock.boot(), detail="no answer")
        finally:
            self.at_once -= 1
        return Answer(
            reply.outcome, began, self._clock.boot(), reply.value, reply.detail, reply.status,
            reply.retry_after,
        )  # fmt: skip

    async def keep_alive(
        self,
        kind: Kind,
        session_id: str,
        progress: int | None,
        *,
        timeout: float,
        token: str | None = None,
    ) -> Answer[None]:
        return await self._ask("keep_alive", session_id, timeout, token, kind, progress)

    async def get(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[SessionInfo]:
        return await self._ask("get", session_id, timeout, token, kind, None)

    async def files(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[tuple[FileInfo, ...]]:
        return await self._ask("files", session_id, timeout, token, kind, None)

    async def item(
        self, item_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[ItemInfo]:
        return await self._ask("item", item_id, timeout, token, None, None)

    async def list(
        self, kind: Kind, *, timeout: float, token: str | None = None
    ) -> Answer[tuple[str, ...]]:
        return await self._ask("list", kind, timeout, token, None, None)

    async def cancel(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[None]:
        return await self._ask("cancel", session_id, timeout, token, kind, None)

    async def who_am_i(self, *, timeout: float, token: str | None = None) -> Answer[None]:
        return await self._ask("who_am_i", None, timeout, token, None, None)

    async def close(self, *, timeout: float) -> None:
        self.closed.append(timeout)


class Told:
    """A listener that records the events."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind."""
        return [each for each in self.all if isinstance(each, kind)]

    def notify(self, event: Event) -> None:
        self.all.append(event)


class Written:
    """Persistence that records its calls with their arguments."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def of(self, *what: str) -> list[tuple[Any, ...]]:
        """Return the calls of these kinds, in order."""
        return [each for each in self.all if each[0] in what]

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        self.all.append(("put_hold", key, hold))

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        self.all.append(("delete_hold", key, uid, owner))

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        self.all.append(("drop_hold", key, uid, owner))

    def note_session(self, session: Session) -> None:
        self.all.append(("note_session", session))

    def note_end(self, session: Session, ended_at: float) -> None:
        self.all.append(("note_end", session, ended_at))

    def forget(self, key: SessionKey) -> None:
        self.all.append(("forget", key))


@dataclass
class Scripted:
    """A keeper running on a scripted vCenter."""

    clock: LoopClock
    vcenter: ScriptedVCenter
    told: Told
    written: Written
    registry: Registry
    keeper: Keeper

    def now(self) -> float:
        """Return the seconds since the test began."""
        return round(self.clock.boot() - BOOT, 3)

    async def until(self, at: float) -> None:
        """Wait until `at` seconds after the test began."""
        await asyncio.sleep(at - self.now())

    def key(self, session_id: str, vcenter: str = NAME) -> SessionKey:
        return SessionKey(vcenter, Kind.UPDATE, session_id)

    def hold(
        self,
        session_id: str,
        *,
        uid: int = 1000,
        owner: Owner = SCRIPT,
        token: str | None = None,
        until: float | None = None,
    ) -> SessionKey:
        """Hold a session, optionally until some seconds after the test began."""
        key = self.key(session_id)
        self.registry.hold(key, self.a_hold(uid=uid, owner=owner, token=token, until=until))
        return key

    def a_hold(
        self,
        *,
        uid: int = 1000,
        owner: Owner = SCRIPT,
        token: str | None = None,
        until: float | None = None,
    ) -> Hold:
        lent = None if token is None else LentToken(token)
        end = None if until is None else BOOT + until
        return Hold(uid, owner, self.clock.boot(), end, token=lent)

    def find(self, key: SessionKey) -> Session:
        session = self.registry.find(key)
        assert session is not None
        return session


@asynccontextmanager
async def scripted(
    policy: RenewalPolicy | None = None,
    *,
    restored: Callable[[Scripted], tuple[Session, ...]] = lambda _: (),
) -> AsyncIterator[Scripted]:
    """Run a keeper on a scripted vCenter; draws are the middle. `restored` is loaded first."""
    clock = LoopClock()
    clock.jump(BOOT - clock.boot())
    vcenter, told, written = ScriptedVCenter(clock), Told(), Written()
    registry = Registry(told, clock, Retention(), written)
    keeper = Keeper(NAME, vcenter, policy or RenewalPolicy(), registry, told, clock, lambda: 0.5)
    engine = Scripted(clock, vcenter, told, written, registry, keeper)
    registry.restore(restored(engine), ())
    registry.attach(keeper)
    work = asyncio.create_task(keeper.run())
    try:
        yield engine
        # None of the engine's background tasks has failed.
        assert not work.done()
    finally:
        await stop(work)
