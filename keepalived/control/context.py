"""The shared state and look-ups of the control socket's request handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web

from keepalived.control.background_tasks import BackgroundTasks
from keepalived.control.callers import Caller
from keepalived.control.event_stream import EVENTS_LOST, EventStream, StreamEntry, Subscription
from keepalived.control.hold_index import HoldIndex
from keepalived.control.hold_service import HoldService
from keepalived.control.limits import Limits
from keepalived.control.owners import HoldRef, Owners
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.replies import SessionReply
from keepalived.control.requests import THE_ONLY_ONE, SessionPath
from keepalived.control.views import View
from keepalived.host.clock import Clock
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.registry import Registry
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session
from keepalived.serving.turns import Turns
from keepalived.settings import Reloaded
from keepalived.validation import Model

PathT = TypeVar("PathT", bound=Model)
QueryT = TypeVar("QueryT", bound=Model)
BodyT = TypeVar("BodyT", bound=Model | None)


@dataclass(frozen=True, slots=True)
class Call(Generic[PathT, QueryT, BodyT]):
    """One request, parsed and checked."""

    request: web.Request
    caller: Caller
    path: PathT
    query: QueryT
    body: BodyT


@dataclass(slots=True)
class ControlContext:
    """The shared state of all request handlers."""

    registry: Registry
    events: EventStream
    clock: Clock
    limits: Limits
    version: str
    reload: Callable[[], Coroutine[Any, Any, Reloaded]]
    index: HoldIndex
    holds: HoldService
    owners: Owners
    background: BackgroundTasks
    attached: dict[HoldRef, Subscription] = field(default_factory=dict)
    listings: dict[tuple[str, Kind], asyncio.Task[Any]] = field(default_factory=dict)
    """Requests for lists of sessions that are under way, by vCenter and kind."""
    turns: Turns = field(default_factory=Turns)
    """Starts requests one at a time, alternating between users."""
    slices: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a slice of a long response is built, so that slices are built one at a time."""
    is_closing: bool = False

    def view(self, caller: Caller) -> View:
        """Return this caller's view of the sessions, as of now."""
        return View(self.clock, None if caller.is_admin else caller.uid)

    def key(self, call: Call[SessionPath, Any, Any]) -> SessionKey:
        """Return the key of the session that a request names. Raises ProblemError."""
        return SessionKey(self.vcenter(call.path.vcenter), call.query.kind, call.path.id)

    def vcenter(self, name: str) -> str:
        """Return a vCenter's name; `-` stands for the only one. Raises ProblemError."""
        if name != THE_ONLY_ONE:
            return name
        names = self.vcenters()
        if len(names) == 1:
            return names[0]
        if not names:
            raise ProblemError(ProblemType.NO_SUCH_VCENTER, "no vCenter is configured")
        raise ProblemError(
            ProblemType.AMBIGUOUS_VCENTER,
            f"replace '-' with one of the configured vCenters: {', '.join(names)}",
            candidates=names,
        )

    def vcenters(self) -> list[str]:
        """Return the names of the configured vCenters."""
        return sorted(keeper.name for keeper in self.registry.keepers)

    def sessions(self, caller: Caller, *, mine: bool = False) -> Iterable[Session]:
        """Return the sessions that the caller may see. With `mine`, admins see only their own."""
        if caller.is_admin and not mine:
            return self.registry
        found = map(self.registry.find, self.index.sessions_of(caller.uid))
        return [session for session in found if session is not None]

    def session(self, caller: Caller, key: SessionKey) -> Session:
        """Return a session that the caller may see.

        Raises ProblemError. The problem is the same for other users' sessions as for unknown ones.
        """
        session = self.registry.find(key)
        if session is not None and (caller.is_admin or self.index.sees(caller.uid, key)):
            return session
        self.keeper(key.vcenter)  # raises if the vCenter is not configured
        raise ProblemError(
            ProblemType.NO_SUCH_SESSION,
            f"you hold no {key.kind} session {key.id} of vCenter {key.vcenter}; take a hold with "
            "PUT, list your sessions with GET /v1/sessions, or check `kind`",
        )

    def session_reply(self, caller: Caller, key: SessionKey) -> SessionReply:
        """Return a reply with the session's present state. Raises like `session`."""
        return self.view(caller).session(self.session(caller, key))

    def keeper(self, vcenter: str) -> Keeper:
        """Return the keeper of a configured vCenter. Raises ProblemError for any other name."""
        for keeper in self.registry.keepers:
            if keeper.name == vcenter:
                return keeper
        names = self.vcenters()
        raise ProblemError(
            ProblemType.NO_SUCH_VCENTER,
            f"no vCenter {vcenter} is configured; configured: {', '.join(names) or 'none'}",
            candidates=names,
        )

    def may_see(self, caller: Caller, entry: StreamEntry) -> bool:
        """Whether the caller may see an event."""
        if caller.is_admin:
            return True
        if entry.uid is not None:
            return entry.uid == caller.uid
        if entry.key is not None:
            return self.index.sees(caller.uid, entry.key)
        return entry.name in ("vcenter_down", "vcenter_up", EVENTS_LOST)
