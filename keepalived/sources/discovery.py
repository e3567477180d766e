"""Discovery: holds the open sessions of a vCenter's account without registration.

It serves uploaders that cannot run another program. While a vCenter's `discover` is on, its
account's sessions are listed every 15 s, or ten times in a lifetime if that is more often. New
ACTIVE sessions are held, under the stall guard. Sessions that the registry knows are left alone:
those that others hold, and those that were released or abandoned, as long as they are listed.

Cost: two requests per poll, one for each kind of session; one request per session, once; with
filters one or two more, once, for the names of its item and library. A vCenter gets one request at
a time, and none while it is down.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.slices import in_slices
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.registry import Registry
from keepalived.lease import timing
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.events import Listener, SourceFailed, SourceRecovered
from keepalived.lease.holds import Hold, Owner, OwnerKind, latest_until
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.settings import Discover, Settings

T = TypeVar("T")
Send = Callable[[Keeper, float], Awaitable[Answer[T]]]
"""Sends a request to a keeper's vCenter, with a timeout in seconds."""

OWNER = Owner(OwnerKind.DISCOVERY)

HOLDS_MOST = 20_000
"""The most sessions of one kind that discovery holds in a vCenter: as many as one user may hold
over the control socket."""

_KEYS_PER_SLICE = 200
_LONGEST_INTERVAL = 15.0
_POLLS_PER_LIFETIME = 10


class Presence(StrEnum):
    """What the registry knows of a listed session."""

    UNKNOWN = "unknown"
    OURS = "ours"
    """Discovery holds it, and others may hold it, too."""
    OTHERS = "others"
    OVER = "over"
    """It was released or has ended."""


class Decision(StrEnum):
    """What to do about a listed session."""

    LEAVE = "leave"
    READ = "read"
    """Read the session from the vCenter."""
    NAME = "name"
    """Read the names that the filters need."""
    TAKE = "take"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a listed session. It is forgotten once it is no longer listed.

    `is_over`: it is left alone from now on. `is_named`: its names were requested. `is_withdrawn`:
    settings released it, and other settings may take it again.
    """

    is_over: bool = False
    item_id: str | None = None
    is_named: bool = False
    library: str | None = None
    item: str | None = None
    is_withdrawn: bool = False


def decide(found: Found | None, presence: Presence, discover: Discover | None) -> Decision:
    """Return what to do about a session. If `discover` is None, discovery is off."""
    is_ours = presence is Presence.OURS
    if discover is None:
        return Decision.RELEASE if is_ours else Decision.LEAVE
    if presence is Presence.OTHERS:
        return Decision.LEAVE
    if presence is Presence.OVER and not (found and found.is_withdrawn):
        return Decision.LEAVE
    if found is None:
        return Decision.READ
    if found.is_over:
        return Decision.LEAVE
    if not discover.takes_all and not found.is_named:
        return Decision.NAME
    is_wanted = discover.takes(found.library, found.item)
    if is_ours:
        return Decision.LEAVE if is_wanted else Decision.RELEASE
    return Decision.TAKE if is_wanted else Decision.LEAVE


@dataclass(slots=True)
class _Account:
    """The state of one vCenter. `failures` are those already reported, without their details."""

    found: dict[SessionKey, Found] = field(default_factory=dict)
    failures: tuple[tuple[str, Outcome], ...] = ()
    was_listed: bool = False


@dataclass(slots=True)
class _Poll:
    """One poll of a vCenter, and its failures.

    `is_broken_off`: no more requests are sent, because the vCenter cannot be reached.
    `free_holds` is how many more holds may be taken.
    """

    name: str
    failures: dict[tuple[str, Outcome], str] = field(default_factory=dict)
    has_listed: bool = False
    is_broken_off: bool = False
    free_holds: int = 0


class Discovery:
    """Keeps holds in `registry` on the sessions found in the vCenters that `settings` name."""

    def __init__(
        self, settings: Settings, registry: Registry, listener: Listener, clock: Clock
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._notify = listener.notify
        self._clock = clock
        self._uid = os.getuid()
        self._accounts: dict[str, _Account] = {}
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._is_paused = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Poll periodically, until cancelled. Call it after the other sources were read."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                for name in () if self._is_paused else self._settings.vcenters:
                    if self._filters(name) is not None and name not in self._polling:
                        work = tasks.create_task(
                            self._poll_until_off(name), name=f"discovery {name}"
                        )
                        self._polling[name] = work
                await self._changed.wait()

    async def rest(self) -> None:
        """Stop sending requests until `apply`, so that keepers can be replaced."""
        self._is_paused = True
        polls = list(self._polling.values())
        for work in polls:
            work.cancel()
        if polls:
            await asyncio.wait(polls)
        self._polling.clear()

    def apply(self, settings: Settings) -> None:
        """Apply new settings, and release the holds that they no longer include."""
        self._settings, self._is_paused = settings, False
        for name in tuple(self._accounts):
            account = self._accounts[name]
            for key in tuple(account.found):
                decision = decide(account.found[key], self._presence(key), self._filters(name))
                if decision is Decision.RELEASE:
                    self._release(key)
            if self._filters(name) is None:
                self._report(name, {})
                if not account.was_listed:
                    # No source will claim the sessions restored after a restart.
                    self._registry.forget_unclaimed({name})
            if name not in settings.vcenters:
                del self._accounts[name]
        self._changed.set()

    # -- when to poll

    def _filters(self, name: str) -> Discover | None:
        vcenter = self._settings.vcenters.get(name)
        return None if vcenter is None else vcenter.discover

    async def _poll_until_off(self, name: str) -> None:
        """Poll a vCenter periodically, while discovery is on."""
        while self._filters(name) is not None:
            polled_at = self._clock.boot()
            await self._poll_vcenter(name)
            vcenter = self._settings.vcenters.get(name)
            lifetime = vcenter.session_timeout if vcenter else 0.0
            interval = min(_LONGEST_INTERVAL, lifetime / _POLLS_PER_LIFETIME)
            await sleep_until(self._clock, polled_at + interval)
        self._polling.pop(name, None)
        self._changed.set()

    async def _poll_vcenter(self, name: str) -> None:
        poll = _Poll(name)
        for kind in Kind:
            await self._poll_kind(kind, poll)
        if self._filters(name) is None:
            return
        account = self._account(name)
        if poll.has_listed and not poll.is_broken_off and not account.was_listed:
            account.was_listed = True
            self._registry.forget_unclaimed({name})
        if poll.failures or not poll.is_broken_off:
            self._report(name, poll.failures)

    # -- what a poll reads

    async def _poll_kind(self, kind: Kind, poll: _Poll) -> None:
        answer = await self._request(
            poll,
            f"the {kind} sessions cannot be listed",
            lambda keeper, timeout: keeper.aside(keeper.vcenter.list(kind, timeout=timeout)),
        )
        if answer is None or answer.value is None:
            return
        poll.has_listed = True
        if answer.detail:
            failure = f"not all {kind} sessions are checked"
            poll.failures[failure, Outcome.OK] = f"{failure}: {answer.detail}"
        listed: dict[SessionKey, None] = {}
        held = 0
        async for session_id in in_slices(answer.value, _KEYS_PER_SLICE):
            key = SessionKey(poll.name, kind, session_id)
            listed[key] = None
            held += self._presence(key) is Presence.OURS
        found = self._account(poll.name).found
        async for key in in_slices(tuple(found), _KEYS_PER_SLICE):
            if key.kind is kind and key not in listed:
                found.pop(key, None)
        poll.free_holds = HOLDS_MOST - held
        async for key in in_slices(listed, _KEYS_PER_SLICE):
            await self._reconcile(key, poll)

    async def _reconcile(self, key: SessionKey, poll: _Poll) -> None:
        """Request what a decision about a session needs, and carry out the decision."""
        while True:
            found = self._account(key.vcenter).found
            known, presence = found.get(key), self._presence(key)
            decision = decide(known, presence, self._filters(key.vcenter))
            if decision is Decision.READ:
                read = await self._read(key, poll)
            elif decision is Decision.NAME and known is not None:
                read = await self._name(key, known, poll)
            else:
                break
            if read is None:
                return
            found[key] = read
        if decision is Decision.TAKE and poll.free_holds <= 0:
            failure = f"not all {key.kind} sessions are held"
            poll.failures[failure, Outcome.OK] = f"{failure}: {HOLDS_MOST} are, which is the limit"
        elif decision is Decision.TAKE:
            poll.free_holds -= 1
            now = self._clock.boot()
            until = latest_until(OwnerKind.DISCOVERY, now)
            self._registry.hold(key, Hold(self._uid, OWNER, now, until))
            found[key] = replace(found[key], is_withdrawn=False)
        elif decision is Decision.RELEASE:
            self._release(key)
        elif presence is Presence.OVER and not (known and known.is_withdrawn):
            found[key] = Found(is_over=True)
        elif presence is Presence.OTHERS and known is not None:
            found[key] = replace(known, is_withdrawn=False)

    async def _read(self, key: SessionKey, poll: _Poll) -> Found | None:
        """Read a session from the vCenter. Returns None if that fails."""
        answer = await self._request(
            poll,
            f"{key.kind} session {key.id} cannot be read",
            lambda keeper, timeout: keeper.aside(
                keeper.vcenter.get(key.kind, key.id, timeout=timeout)
            ),
            or_gone=True,
        )
        if answer is None:
            return None
        info = answer.value
        if info is None or info.state != State.ACTIVE.value:
            return Found(is_over=True)
        return Found(item_id=info.item_id)

    async def _name(self, key: SessionKey, known: Found, poll: _Poll) -> Found | None:
        """Add the names of a session's item and library. Returns None if reading them fails."""
        item_id = known.item_id
        if item_id is None:
            return replace(known, is_named=True)
        answer = await self._request(
            poll,
            f"the item of {key.kind} session {key.id} cannot be read",
            lambda keeper, timeout: keeper.aside(keeper.vcenter.item(item_id, timeout=timeout)),
            or_gone=True,
        )
        if answer is None:
            return None
        item = answer.value
        if item is None:
            return replace(known, is_named=True)
        return replace(known, is_named=True, library=item.library, item=item.name)

    async def _request(
        self, poll: _Poll, failure: str, send: Send[T], *, or_gone: bool = False
    ) -> Answer[T] | None:
        """Return a successful answer; for any other, record the `failure` and return None.

        With `or_gone`, NOT_FOUND counts as success.
        """
        keepers = (keeper for keeper in self._registry.keepers if keeper.name == poll.name)
        keeper = next(keepers, None)
        if poll.is_broken_off or keeper is None or not keeper.view().up:
            # Failures of the vCenter itself are reported by its keeper.
            poll.is_broken_off = True
            return None
        timeout = keeper.policy.request_timeout or timing.request_timeout(
            0, None, keeper.policy.session_timeout
        )
        answer = await send(keeper, timeout)
        outcome = answer.outcome
        if outcome is Outcome.OK or (or_gone and outcome is Outcome.NOT_FOUND):
            return answer
        poll.failures[failure, outcome] = f"{failure}: {answer.detail or outcome.value}"
        poll.is_broken_off = outcome.is_vcenter_failure
        return None

    # -- effects

    def _presence(self, key: SessionKey) -> Presence:
        session = self._registry.find(key)
        if session is None:
            return Presence.UNKNOWN
        if session.state.is_final:
            return Presence.OVER
        is_ours = any(hold.is_by(self._uid, OWNER) for hold in session.holds)
        return Presence.OURS if is_ours else Presence.OTHERS

    def _release(self, key: SessionKey) -> None:
        found = self._account(key.vcenter).found
        found[key] = replace(found[key], is_withdrawn=True)
        self._registry.release(key, self._uid, OWNER)

    def _account(self, name: str) -> _Account:
        return self._accounts.setdefault(name, _Account())

    def _report(self, name: str, failures: dict[tuple[str, Outcome], str]) -> None:
        """Report failures if they have changed other than in their details."""
        account, source = self._account(name), f"discovery {name}"
        if tuple(failures) == account.failures:
            return
        account.failures = tuple(failures)
        if failures:
            self._notify(SourceFailed(source, tuple(failures.values())))
        else:
            self._notify(SourceRecovered(source))
