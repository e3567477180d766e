"""The registry of all sessions that are held, or ended recently, and of their holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from math import inf

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
    """A session key names a vCenter that is not configured."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long an ended session stays visible, in seconds."""

    ended: float = 3600.0
    failed: float = 7 * 86400.0

    def of(self, state: State) -> float:
        """Return how long a session in this final state stays visible."""
        return self.failed if state.is_failure else self.ended


class Registry:
    """Holds all sessions, assigns them to their vCenters' keepers, and reports their events."""

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
        self._named: dict[SessionKey, set[Owner]] = {}
        self._remembered: dict[SessionKey, Session] = {}
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
        for session in self._of(keeper.name):
            self.commit(core.reconfigure(session, keeper.policy.session_timeout), ())

    def detach(self, name: str) -> None:
        """Remove a vCenter that is no longer configured, and release its sessions."""
        for session in self._of(name):
            for hold in session.holds:
                self.release(session.key, hold.uid, hold.owner)
        self._keepers.pop(name, None)

    # -- what was known before a restart

    def restore(self, sessions: Iterable[Session], ended: Iterable[tuple[Session, float]]) -> None:
        """Restore the sessions of an earlier process; keepers are attached afterwards.

        Every session is due at once, in the order of the stored deadlines. Sessions without a hold
        were held by files: they continue when their file names them again. Ended sessions are shown
        for the rest of their retention; a line that still names one neither begins it anew nor has
        its end reported again, however long ago that was.
        """
        now = self._clock.boot()
        for stored in sessions:
            session = stored._replace(due=now)
            if session.holds:
                self._table.put(session)
                self._watch_expiry(session)
            else:
                self._remembered[session.key] = session
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
        """Drop restored sessions in `vcenters` that no source names any more.

        Sessions of vCenters that are no longer configured are released as well.
        """
        for vcenter in {session.key.vcenter for session in self} - self._keepers.keys():
            self.detach(vcenter)
        for key in tuple(self._remembered):
            if key.vcenter in vcenters or key.vcenter not in self._keepers:
                del self._remembered[key]
                self._persistence.forget(key)
        for key in tuple(self._already_reported):
            if key.vcenter in vcenters or key.vcenter not in self._keepers:
                self._already_reported.remove(key)
                self._forget_unless_needed(key)

    # -- holds

    def hold(self, key: SessionKey, hold: Hold) -> bool:
        """Take a hold, or update the one of the same party; return whether it is a new one.

        A hold on a session that has ended starts it anew. Raises UnknownVCenterError.
        """
        keeper = self._keepers.get(key.vcenter)
        if keeper is None:
            raise UnknownVCenterError(key.vcenter)
        session = self._table.get(key)
        is_line = hold.owner.kind is OwnerKind.FILE and key in self._already_reported
        if is_line and hold.owner not in self._named.get(key, ()):
            # The line existed before the restart, and its session's end was reported then.
            self._named.setdefault(key, set()).add(hold.owner)
            return False
        if session is None or session.state.is_final:
            self._already_reported.discard(key)
            self._named.pop(key, None)
            if session is not None:
                self._ended.remove(key)
                self._ended_at.pop(key, None)
                self._notify(events.SessionForgotten(key))
            held = self._begin(key, hold, keeper.policy.session_timeout)
            is_new = True
        else:
            held = core.take_hold(session, hold)
            is_new = len(held.holds) > len(session.holds)
        self.commit(held, ())
        self._watch_expiry(held)
        return is_new

    def _begin(self, key: SessionKey, hold: Hold, lifetime: float) -> Session:
        known = self._remembered.pop(key, None)
        if known is None:
            return core.new_session(key, lifetime, hold, self._clock.boot())
        if hold.until is not None:
            # The line's time did not begin with this process.
            hold = replace(hold, since=known.since, until=known.since + hold.until - hold.since)
        return core.reconfigure(core.take_hold(known, hold), lifetime)

    async def take(self, key: SessionKey, hold: Hold) -> bool:
        """Take a hold and return once it is on disk; otherwise like `hold`.

        The session is renewed at once, and released again if the hold cannot be written. Raises
        UnknownVCenterError, and what the store raises.
        """
        before = self._hold_of(key, hold.uid, hold.owner)
        is_new = self.hold(key, hold)
        try:
            await self._persistence.put_hold(key, hold)
        except Exception:
            # Unless it was changed or released while it was being written.
            current = self._hold_of(key, hold.uid, hold.owner)
            if current is not None and replace(current, since=hold.since) == hold:
                if before is None:
                    self.release(key, hold.uid, hold.owner)
                else:
                    self.hold(key, before)
            raise
        return is_new

    async def release_durably(self, key: SessionKey, uid: int, owner: Owner) -> bool | None:
        """Release a party's hold, and store that.

        Returns None if there was none, True once its removal is on disk, and False if the hold is
        released but its removal could not be written.
        """
        if not self.release(key, uid, owner):
            return None
        try:
            await self._persistence.delete_hold(key, uid, owner)
        except OSError:
            return False
        return True

    async def renew_now(self, key: SessionKey, pause: float = 0.0) -> Answer[object] | None:
        """Send a keep-alive at once and return its answer; None for a session that is not held.

        It waits until `pause` seconds have passed since the last renewal.
        """
        keeper = self._keepers.get(key.vcenter)
        return None if keeper is None else await keeper.renew_now(key, pause)

    def is_held(self, key: SessionKey, uid: int, owner: Owner) -> bool:
        """Whether a party holds a session that has not ended."""
        return self._hold_of(key, uid, owner) is not None

    def _hold_of(self, key: SessionKey, uid: int, owner: Owner) -> Hold | None:
        session = self._table.live.get(key)
        holds = () if session is None else session.holds
        return next((hold for hold in holds if hold.is_by(uid, owner)), None)

    def release(self, key: SessionKey, uid: int, owner: Owner) -> bool:
        """Release a party's hold; return whether there was one."""
        session = self._table.get(key)
        is_held = session is not None and any(hold.is_by(uid, owner) for hold in session.holds)
        if session is not None and is_held:
            self.commit(*core.release_hold(session, uid, owner, self._clock.boot()))
        if (names := self._named.get(key)) is not None:
            names.discard(owner)
            self._forget_unless_needed(key)
        return is_held

    def _forget_unless_needed(self, key: SessionKey) -> None:
        """Drop an ended session that is no longer shown and that no line names."""
        if not self._named.get(key):
            self._named.pop(key, None)
            if key not in self._table:
                self._persistence.forget(key)

    async def keep_house(self) -> None:
        """Sweep whenever a hold or a retention time is over, until cancelled."""
        while True:
            await run_in_slices(self._sweep_in_slices())
            now = self._clock.boot()
            over = (self._expiries.next_due(), self._ended.next_due())
            next_due = min(due for due in (*over, inf) if due is not None)
            wait = min(LONGEST_SLEEP, max(DUE_TOLERANCE, next_due - now))
            # Anything that is over later than this sets no alarm.
            self._sweeps_at = now + wait
            await self._wakeup.wait(wait)

    def sweep(self) -> None:
        """Release the holds whose time is over, and forget sessions that ended long ago."""
        run_at_once(self._sweep_in_slices())

    def _sweep_in_slices(self) -> Slices[None]:
        # A client can have very many holds end at the same moment.
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

    # -- what keepers need

    def find(self, key: SessionKey) -> Session | None:
        """Return the session in its current state."""
        return self._table.get(key)

    def commit(self, session: Session, happened: tuple[Event, ...]) -> None:
        """Store the new state of a session, and report the events that led to it.

        Changes of its holds are reported first.
        """
        before = self._table.put(session)
        if session.state.is_final and before is not None:
            self._note_names(session.key, before)
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

    def _note_names(self, key: SessionKey, before: Session) -> None:
        """Remember which files name a session that ends: they still do after a restart."""
        files = {hold.owner for hold in before.holds if hold.owner.kind is OwnerKind.FILE}
        if files:
            self._named[key] = files

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

    # -- what the world may see

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._table)

    def held(self) -> int:
        """The number of sessions that are held."""
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

    def _of(self, vcenter: str) -> tuple[Session, ...]:
        live = self._table.live
        return tuple(session for key, session in live.items() if key.vcenter == vcenter)


def _is_line_over(session: Session) -> bool:
    return session.ending is not None and session.ending.reason == core.LINE_IS_OVER
