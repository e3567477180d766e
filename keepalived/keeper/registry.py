"""Commit point for session changes: stores sessions and holds, and reports their events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from math import inf
from typing import NamedTuple

from keepalived.host.clock import LONGEST_SLEEP, Clock
from keepalived.host.slices import Slices, SliceTimer, run_at_once, run_in_slices
from keepalived.host.wakeup import Wakeup
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.ports import NullPersistence, Persistence
from keepalived.keeper.schedule import Schedule
from keepalived.keeper.session_table import SessionTable
from keepalived.keeper.snapshot import EngineView, Snapshot, VCenterView
from keepalived.lease import events
from keepalived.lease import session as core
from keepalived.lease.answers import Answer
from keepalived.lease.events import Event, Listener
from keepalived.lease.holds import Hold, Holds, Owner, OwnerKind
from keepalived.lease.model import SessionKey, State
from keepalived.lease.session import Session
from keepalived.lease.timing import DUE_TOLERANCE


class UnknownVCenterError(LookupError):
    """The vCenter of a session key is not configured."""


class Retention(NamedTuple):
    """How long an ended session stays visible, in seconds."""

    ended: float = 3600.0
    failed: float = 7 * 86400.0

    def of(self, state: State) -> float:
        """Return how long a session in this final state stays visible."""
        return self.failed if state.is_failure else self.ended


class Registry:
    """All sessions that are held or ended recently, their holds and their keepers."""

    def __init__(
        self,
        listener: Listener,
        clock: Clock,
        retention: Retention,
        persistence: Persistence | None = None,
    ) -> None:
        self.retention = retention
        self._notify = listener.notify
        self._clock = clock
        self._persistence = persistence or NullPersistence()
        self._already_reported: set[SessionKey] = set()
        self._naming_files: dict[SessionKey, set[Owner]] = {}
        self._unclaimed: dict[SessionKey, Session] = {}
        self._keepers: dict[str, Keeper] = {}
        self._table = SessionTable()
        self._expiries = Schedule()
        self._ended = Schedule()
        self._ended_at: dict[SessionKey, float] = {}
        self._wakeup = Wakeup()
        self._sweeps_at = inf

    # -- vCenters

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """The running keepers."""
        return tuple(self._keepers.values())

    def attach(self, keeper: Keeper) -> None:
        """Assign the sessions of a vCenter to `keeper`, replacing an earlier keeper."""
        self._keepers[keeper.name] = keeper
        for session in self._sessions_of(keeper.name):
            self.commit(core.reconfigure(session, keeper.policy.session_timeout), ())

    def detach(self, name: str) -> None:
        """Remove a vCenter that is no longer configured, and release its sessions."""
        for session in self._sessions_of(name):
            for hold in session.holds:
                self.release(session.key, hold.uid, hold.owner)
        self._keepers.pop(name, None)

    # -- restart

    def restore(self, sessions: Iterable[Session], ended: Iterable[tuple[Session, float]]) -> None:
        """Restore the sessions of an earlier process. Call this before attaching keepers.

        Every session is due at once, in the order of the stored deadlines. Sessions without a hold
        were held by files, and continue when a file names them again. Ended sessions are shown for
        the rest of their retention. A file that still names an ended session neither restarts it
        nor causes its end to be reported again.
        """
        now = self._clock.boot()
        for stored in sessions:
            session = stored._replace(due=now)
            if session.holds:
                self._table.put(session)
                self._watch_expiry(session)
            else:
                self._unclaimed[session.key] = session
        for session, ended_at in ended:
            until = ended_at + self.retention.of(session.state)
            is_over = session.state is not State.RELEASED or _is_line_over(session)
            if is_over:
                self._already_reported.add(session.key)
            if until > now:
                self._table.put(session)
                self._ended.put(session.key, until, None)
                self._ended_at[session.key] = ended_at
            elif not is_over:
                self._persistence.forget(session.key)

    def forget_unclaimed(self, vcenters: Collection[str]) -> None:
        """Drop restored sessions of `vcenters` that no source has named again.

        Also releases the sessions of vCenters that are no longer configured.
        """
        for vcenter in {session.key.vcenter for session in self} - self._keepers.keys():
            self.detach(vcenter)
        for key in tuple(self._unclaimed):
            if key.vcenter in vcenters or key.vcenter not in self._keepers:
                del self._unclaimed[key]
                self._persistence.forget(key)
        for key in tuple(self._already_reported):
            if key.vcenter in vcenters or key.vcenter not in self._keepers:
                self._already_reported.remove(key)
                self._forget_unless_needed(key)

    # -- holds

    def hold(self, key: SessionKey, hold: Hold) -> bool:
        """Take a hold, or update the same holder's; return whether it is new.

        A hold on an ended session restarts it. Raises UnknownVCenterError.
        """
        keeper = self._keepers.get(key.vcenter)
        if keeper is None:
            raise UnknownVCenterError(key.vcenter)
        session = self._table.get(key)
        is_from_file = hold.owner.kind is OwnerKind.FILE and key in self._already_reported
        if is_from_file and hold.owner not in self._naming_files.get(key, ()):
            # The file named it before the restart, and its end was reported then.
            self._naming_files.setdefault(key, set()).add(hold.owner)
            return False
        if session is None or session.state.is_final:
            self._already_reported.discard(key)
            self._naming_files.pop(key, None)
            if session is not None:
                self._ended.remove(key)
                self._ended_at.pop(key, None)
                self._notify(events.SessionForgotten(key))
            held = self._start_session(key, hold, keeper.policy.session_timeout)
            is_new = True
        else:
            held = core.take_hold(session, hold)
            is_new = len(held.holds) > len(session.holds)
        self.commit(held, ())
        self._watch_expiry(held)
        return is_new

    def _start_session(self, key: SessionKey, hold: Hold, lifetime: float) -> Session:
        known = self._unclaimed.pop(key, None)
        if known is None:
            return core.new_session(key, lifetime, hold, self._clock.boot())
        if hold.until is not None:
            # The time limit of a file's hold does not start again with this process.
            hold = replace(hold, since=known.since, until=known.since + hold.until - hold.since)
        return core.reconfigure(core.take_hold(known, hold), lifetime)

    async def take(self, key: SessionKey, hold: Hold) -> bool:
        """Take a hold like `hold`, and return once it is on disk.

        The session is renewed at once. If the hold cannot be stored, it is released again. Raises
        UnknownVCenterError and the errors of the store.
        """
        before = self._find_hold(key, hold.uid, hold.owner)
        is_new = self.hold(key, hold)
        try:
            await self._persistence.put_hold(key, hold)
        except Exception:
            # Undo it, unless it was changed or released while it was being stored.
            current = self._find_hold(key, hold.uid, hold.owner)
            if current is not None and replace(current, since=hold.since) == hold:
                if before is None:
                    self.release(key, hold.uid, hold.owner)
                else:
                    self.hold(key, before)
            raise
        return is_new

    async def release_durably(self, key: SessionKey, uid: int, owner: Owner) -> bool | None:
        """Release a holder's hold, and remove it from disk.

        Returns None if there was none, True once its removal is on disk, and False if the hold is
        released but its removal could not be stored.
        """
        if not self.release(key, uid, owner):
            return None
        try:
            await self._persistence.delete_hold(key, uid, owner)
        except OSError:
            return False
        return True

    async def renew_now(self, key: SessionKey, pause: float = 0.0) -> Answer[object] | None:
        """Send a keep-alive and return its answer; None for a session that is not held.

        It is sent at least `pause` seconds after the last renewal.
        """
        keeper = self._keepers.get(key.vcenter)
        return None if keeper is None else await keeper.renew_now(key, pause)

    def is_held(self, key: SessionKey, uid: int, owner: Owner) -> bool:
        """Whether this user and owner hold a session that has not ended."""
        return self._find_hold(key, uid, owner) is not None

    def _find_hold(self, key: SessionKey, uid: int, owner: Owner) -> Hold | None:
        session = self._table.live.get(key)
        holds = () if session is None else session.holds
        return next((hold for hold in holds if hold.is_by(uid, owner)), None)

    def release(self, key: SessionKey, uid: int, owner: Owner) -> bool:
        """Release a holder's hold; return whether there was one."""
        session = self._table.get(key)
        is_held = session is not None and any(hold.is_by(uid, owner) for hold in session.holds)
        if session is not None and is_held:
            self.commit(*core.release_hold(session, uid, owner, self._clock.boot()))
        if (names := self._naming_files.get(key)) is not None:
            names.discard(owner)
            self._forget_unless_needed(key)
        return is_held

    def _forget_unless_needed(self, key: SessionKey) -> None:
        """Drop an ended session that is no longer shown and that no file names."""
        if not self._naming_files.get(key):
            self._naming_files.pop(key, None)
            if key not in self._table:
                self._persistence.forget(key)

    async def run_housekeeping(self) -> None:
        """Call `sweep` whenever a hold or a retention time expires, until cancelled."""
        while True:
            await run_in_slices(self._sweep_in_slices())
            now = self._clock.boot()
            over = (self._expiries.next_due(), self._ended.next_due())
            next_due = min(due for due in (*over, inf) if due is not None)
            wait = min(LONGEST_SLEEP, max(DUE_TOLERANCE, next_due - now))
            # Only something that expires earlier has to interrupt this wait.
            self._sweeps_at = now + wait
            await self._wakeup.wait(wait)

    def sweep(self) -> None:
        """Release expired holds, and drop ended sessions after their retention time."""
        run_at_once(self._sweep_in_slices())

    def _sweep_in_slices(self) -> Slices[None]:
        # Very many holds of a client may expire at the same moment.
        timer = SliceTimer()
        now = self._clock.boot()
        self._expiries.advance(now)
        while (expired := self._expiries.pop()) is not None:
            session = self._table.live.get(expired[0])
            if session is None:
                continue
            left, happened = core.expire_holds(session, now)
            for hold in session.holds:
                if hold not in left.holds:
                    self._persistence.drop_hold(session.key, hold.uid, hold.owner)
            self.commit(left, happened)
            self._watch_expiry(left)
            if timer.is_over():
                yield
        self._ended.advance(now)
        while (forgotten := self._ended.pop()) is not None:
            self._expiries.remove(forgotten[0])
            self._table.drop(forgotten[0])
            self._forget_unless_needed(forgotten[0])
            del self._ended_at[forgotten[0]]
            self._notify(events.SessionForgotten(forgotten[0]))
            if timer.is_over():
                yield

    def _watch_expiry(self, session: Session) -> None:
        limits = [hold.until for hold in session.holds if hold.until is not None]
        if limits:
            self._expiries.put(session.key, min(limits), None)
            self._sweep_at(min(limits))

    def _sweep_at(self, when: float) -> None:
        if when < self._sweeps_at:
            self._wakeup.ring()

    # -- commits

    def find(self, key: SessionKey) -> Session | None:
        """Return the current state of a session; None for an unknown one."""
        return self._table.get(key)

    def commit(self, session: Session, happened: tuple[Event, ...]) -> None:
        """Store the new state of a session, and report the events that led to it.

        Changes of its holds are reported first.
        """
        before = self._table.put(session)
        if session.state.is_final and before is not None:
            self._note_naming_files(session.key, before)
        keeper = self._keepers.get(session.key.vcenter)
        if keeper is not None:
            keeper.schedule(session)
        holds = () if before is None else before.holds
        if holds is not session.holds:
            self._report_holds(holds, session)
        for event in happened:
            if isinstance(event, events.Renewed):
                self._persistence.note_session(session)
            elif isinstance(event, events.SessionEnd):
                self._note_end(session)
            self._notify(event)

    def _note_naming_files(self, key: SessionKey, before: Session) -> None:
        """Record which files name a session that ends: they still do after a restart."""
        files = {hold.owner for hold in before.holds if hold.owner.kind is OwnerKind.FILE}
        if files:
            self._naming_files[key] = files

    def _report_holds(self, before: Holds, session: Session) -> None:
        key = session.key
        former = {(hold.uid, hold.owner): hold for hold in before}
        for hold in session.holds:
            was = former.pop((hold.uid, hold.owner), None)
            if was is None:
                self._notify(events.HoldTaken(key, hold))
            elif was is not hold:
                self._notify(events.HoldChanged(key, was, hold))
        for hold in former.values():
            self._notify(events.HoldReleased(key, hold, session.state))

    def _note_end(self, session: Session) -> None:
        now = self._clock.boot()
        forgotten_at = now + self.retention.of(session.state)
        self._ended.put(session.key, forgotten_at, None)
        self._sweep_at(forgotten_at)
        self._ended_at[session.key] = now
        self._persistence.note_end(session, now)

    # -- views

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._table)

    def held(self) -> int:
        """Return the number of held sessions."""
        return len(self._table.live)

    def engine_view(self) -> EngineView:
        """Return the current state, without iterating over the sessions."""
        return EngineView(self._clock.boot(), self._table, self._views())

    def snapshot(self) -> Snapshot:
        """Return the whole current state of the engine."""
        return Snapshot(
            now=self._clock.boot(),
            sessions=tuple(self._table),
            vcenters=self._views(),
            ended_at=self._ended_at.copy(),
        )

    def _views(self) -> tuple[VCenterView, ...]:
        return tuple(keeper.view() for keeper in self._keepers.values())

    def _sessions_of(self, vcenter: str) -> tuple[Session, ...]:
        live = self._table.live
        return tuple(session for key, session in live.items() if key.vcenter == vcenter)


def _is_line_over(session: Session) -> bool:
    return session.ending is not None and session.ending.reason == core.LINE_IS_OVER
