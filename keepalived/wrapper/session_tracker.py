"""Hold and watch the sessions found while a command runs. `ownership` decides whose they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePath

from keepalived.host.clock import Clock, sleep_until
from keepalived.host.open_files import OpenFile, largest_being_read, open_files, tree
from keepalived.keeper.registry import Registry
from keepalived.lease.events import SessionEnd
from keepalived.lease.holds import Hold, Owner, OwnerKind, latest_until
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import UNKNOWN, Progress
from keepalived.lease.session import Session
from keepalived.lease.text import printable
from keepalived.wrapper.activity import Activity
from keepalived.wrapper.ownership import Selector, is_own, name_of
from keepalived.wrapper.progress import Transfer, transfer
from keepalived.wrapper.summary import SessionOutcome
from keepalived.wrapper.tokens import Lent

_FIRST_FILES_SECONDS, _FILES_SECONDS = 0.1, 2.0
_FILES_PER_LIFETIME = 10
_POLL_SECONDS = 0.1

_OTHERS = Owner(OwnerKind.DISCOVERY)


class SessionTracker:
    """Holds sessions that appear while the command runs.

    Sessions not known to be the command's own are held under the stall guard, as if they had been
    discovered. `transfers` contains the progress of the command's own sessions where it is known.
    """

    def __init__(
        self,
        registry: Registry,
        wanted: Selector,
        lent: Lent,
        clock: Clock,
        named: frozenset[str] = frozenset(),
    ) -> None:
        self.transfers: dict[SessionKey, Transfer] = {}
        self._registry = registry
        self._wanted = wanted
        self._lent = lent
        self._clock = clock
        self._uid = os.getuid()
        self._owner = Owner(OwnerKind.COMMAND, str(os.getpid()))
        self._own: set[SessionKey] = set()
        self._named: set[SessionKey] = set()
        self._activities: dict[SessionKey, Activity] = {}
        self._ended: dict[SessionKey, tuple[float, float]] = {}
        self._end_seen = asyncio.Event()
        self._opened = set(named)
        self._sizes: dict[str, int] = {}

    # -- holds

    def take(self, key: SessionKey) -> None:
        """Hold a session that has appeared, or that the user named."""
        now = self._clock.boot()
        self._activities.setdefault(key, Activity(now))
        is_named = key.id in self._wanted.session_ids
        if is_named:
            self._own.add(key)
        owner = self._owner if is_named else _OTHERS
        self._registry.hold(key, self._hold(owner))

    def lend(self) -> None:
        """Set the token that is lent now in all holds."""
        for session in self._open():
            for hold in session.holds:
                self._registry.hold(session.key, replace(hold, token=self._lent.token_to_lend))

    def let_go_others(self) -> list[Session]:
        """Release the sessions not known to be the command's own, and return them."""
        others = self.others()
        for session in others:
            self._registry.release(session.key, self._uid, _OTHERS)
        return others

    def let_go_all(self) -> None:
        """Release all sessions. Nothing is cancelled."""
        for session in self._open():
            for hold in session.holds:
                self._registry.release(session.key, hold.uid, hold.owner)

    def _hold(self, owner: Owner, progress: Progress = UNKNOWN) -> Hold:
        now = self._clock.boot()
        until = latest_until(owner.kind, now)
        return Hold(self._uid, owner, now, until, progress, token=self._lent.token_to_lend)

    # -- watching

    async def run(self, lifetime: float) -> None:
        """Read the command's open files, soon and then every two seconds, until cancelled."""
        longest, pause = min(_FILES_SECONDS, lifetime / _FILES_PER_LIFETIME), _FIRST_FILES_SECONDS
        while True:
            await self.read_files()
            await sleep_until(self._clock, self._clock.boot() + min(pause, longest))
            pause = min(2 * pause, longest)

    async def read_files(self) -> None:
        """Read the open files of the command's processes, and update the sessions from them."""
        # In a thread, since a file may be on a network file system that does not answer.
        files = await asyncio.to_thread(_open_files)
        self._opened |= {file.path for file in files}
        self._sizes |= {PurePath(file.path).name: file.size for file in files if file.reading}
        reading = largest_being_read(files)
        self.claim()
        now = self._clock.boot()
        for session in self._open():
            key = session.key
            seen = transfer(session, reading, self._sizes) if key in self._own else None
            if seen is not None:
                self.transfers[key] = seen
                if session.ending is None:
                    progress = Progress(percent=seen.percent)
                    self._registry.hold(key, self._hold(self._owner, progress))
            self._activities[key].record((session.state, session.files, seen), now)

    def claim(self) -> None:
        """Claim for the command all sessions now known to be its own, ended ones included."""
        for session in tuple(self._registry):
            key = session.key
            was_let_go = session.state is State.RELEASED
            if key in self._own or was_let_go or not is_own(session, self._wanted, self._opened):
                continue
            self._own.add(key)
            if not session.state.is_final:
                self._registry.hold(key, self._hold(self._owner))
                self._registry.release(key, self._uid, _OTHERS)

    def note_end(self, end: SessionEnd) -> None:
        """Record how long a session was held, and its longest pause."""
        longest = self._activities[end.key].longest(self._clock.boot())
        self._ended[end.key] = (end.held_seconds, longest)
        self._end_seen.set()

    async def all_read(self) -> None:
        """Return once every session has had a complete round of requests, or has ended."""
        # The registry has no event for the end of a round.
        while not all(map(self._has_rested, self._open())):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
        self.claim()

    async def all_settled(self) -> None:
        """Return once vCenter has processed all of the command's own sessions."""
        while self.unsettled():
            self._end_seen.clear()
            await self._end_seen.wait()

    # -- what is known

    def own(self) -> list[Session]:
        """Return the command's own sessions, ended ones included."""
        return [session for session in self._registry if session.key in self._own]

    def own_and_open(self) -> list[Session]:
        """Return those of them that have not ended."""
        return [session for session in self.own() if not session.state.is_final]

    def unsettled(self) -> list[Session]:
        """Return those of them that vCenter has still to process.

        Downloads are not included: vCenter does nothing with them once the command has ended.
        """
        return [each for each in self.own_and_open() if each.key.kind is Kind.UPDATE]

    def others(self) -> list[Session]:
        """Return the open sessions that appeared and are not known to be the command's own."""
        return [session for session in self._open() if session.key not in self._own]

    def ended_others(self) -> list[Session]:
        """Return the sessions not known to be the command's own that ended while it ran."""
        return [
            session
            for session in self._registry
            if session.key not in self._own
            and session.state.is_final
            and session.state is not State.RELEASED
        ]

    def is_any_unnamed(self) -> bool:
        """Whether `newly_named` would return a session."""
        return any(self._is_unnamed(session) for session in self._open())

    def newly_named(self) -> list[tuple[Session, bool]]:
        """Return the open sessions whose item was read, each once, and whether it is our own."""
        found = [session for session in self._open() if self._is_unnamed(session)]
        self._named |= {session.key for session in found}
        return [(session, session.key in self._own) for session in found]

    def _is_unnamed(self, session: Session) -> bool:
        is_read = session.item is not None or self._has_rested(session)
        return is_read and session.key not in self._named

    def _has_rested(self, session: Session) -> bool:
        """Whether a session's first round of requests is over."""
        return session.renewals > 0 and session.due > self._clock.boot()

    def outcomes(self) -> list[SessionOutcome]:
        """Return the outcome of each of the command's own sessions so far."""
        now, outcomes = self._clock.boot(), []
        for session in self.own():
            so_far = now - session.since, self._activities[session.key].longest(now)
            outcomes.append(SessionOutcome(session, *self._ended.get(session.key, so_far)))
        return outcomes

    def shortest_lifetime(self) -> float | None:
        """Return the shortest lifetime of a session without activity, in seconds."""
        return min((session.lifetime for session in self._open()), default=None)

    def _open(self) -> list[Session]:
        return [session for session in self._registry if not session.state.is_final]


def names(sessions: Iterable[Session]) -> str:
    """Return these sessions' names for people."""
    return ", ".join(printable(name_of(session)) for session in sessions)


def _open_files() -> tuple[OpenFile, ...]:
    """Return the open files of all processes below this one, orphans included."""
    own, *below = tree(os.getpid())
    return open_files(each for each in below if each != own)
