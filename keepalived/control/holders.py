"""Who holds what, by user: what each caller may see, and how much of it there is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session

_ROOM_FOR_FORGOTTEN = 64

DAEMONS_OWN = frozenset({OwnerKind.FILE, OwnerKind.DISCOVERY})
"""The owners of holds that were not taken over the socket."""


class Party(NamedTuple):
    """Whose hold it is: there is at most one of each in a session."""

    uid: int
    owner: Owner


class Usage(NamedTuple):
    """What holds take up: how many there are, and the bytes of the texts that came with them."""

    holds: int = 0
    bytes: int = 0

    def plus(self, other: Usage, sign: int = 1) -> Usage:
        """Return the sum, or the difference for a sign of -1."""
        return Usage(self.holds + sign * other.holds, self.bytes + sign * other.bytes)


class Sessions(Protocol):
    """The part of the registry that is looked into here."""

    def find(self, key: SessionKey) -> Session | None: ...

    def __iter__(self) -> Iterator[Session]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Record:
    """The parties of one life of a session; of one that has ended, its last ones."""

    since: float
    parties: frozenset[Party]
    is_live: bool
    usages: tuple[tuple[int, Usage], ...] = ()
    """By user, of the live holds that were asked for over the socket."""


def call_soon(work: Callable[[], None]) -> None:
    """Do something as soon as whoever runs now is done."""
    asyncio.get_running_loop().call_soon(work)


class Holders:
    """Keeps count of the parties of every session.

    A session that has ended belongs to whoever held it then, for as long as the registry shows it:
    they are the ones who want to know. `on_taken` and `on_gone` hear of every party that comes and
    goes; `on_gone` with False where it went because the session has ended.
    """

    def __init__(
        self,
        sessions: Sessions,
        on_taken: Callable[[SessionKey, Party], None],
        on_gone: Callable[[SessionKey, Party, bool], None],
        soon: Callable[[Callable[[], None]], object] = call_soon,
    ) -> None:
        self._sessions = sessions
        self._on_taken = on_taken
        self._on_gone = on_gone
        self._soon = soon
        self._records: dict[SessionKey, _Record] = {}
        self._keys: dict[int, dict[SessionKey, None]] = {}
        self._usages: dict[int, Usage] = {}
        self._usage = Usage()
        self._changed: dict[SessionKey, None] = {}

    def read_all(self) -> None:
        """Take in what the registry knows already, without telling anybody."""
        for session in self._sessions:
            self._put(session.key, _record(session))

    def note_change(self, key: SessionKey) -> None:
        """Look at a session's holds again once whoever changes them is done."""
        if key in self._changed:
            # An earlier change of the same moment is complete by now, and counts on its own.
            self._refresh(key)
            return
        if not self._changed:
            self._soon(self.catch_up)
        self._changed[key] = None

    def catch_up(self) -> None:
        """Look at what has changed now."""
        changed, self._changed = self._changed, {}
        for key in changed:
            self._refresh(key)

    def sees(self, uid: int, key: SessionKey) -> bool:
        """Whether a session is one of this user's, live or ended."""
        return key in self._keys.get(uid, ())

    def sessions_of(self, uid: int) -> list[Session]:
        """Return the sessions that a user holds, or held until they ended."""
        self._forget(self._keys.get(uid, ()))
        found = (self._sessions.find(key) for key in self._keys.get(uid, ()))
        return [session for session in found if session is not None]

    def count(self, uid: int, enough: int) -> int:
        """Count a user's sessions, exactly where there are `enough` of them, else about."""
        if len(self._keys.get(uid, ())) >= enough:
            self._forget(self._keys[uid])
        return len(self._keys.get(uid, ()))

    def usage(self, uid: int | None = None) -> Usage:
        """Return what a user's live holds take up; everybody's for None."""
        return self._usage if uid is None else self._usages.get(uid, Usage())

    def _refresh(self, key: SessionKey) -> None:
        session = self._sessions.find(key)
        known = self._records.get(key)
        if session is None:
            self._forget([key])
            return
        record = _record(session)
        same_life = known is not None and known.since == record.since
        before = known.parties if known is not None and same_life and known.is_live else frozenset()
        if record.is_live:
            self._put(key, record)
            gone = before - record.parties
        else:
            # The holds end with the session, the interest in it does not.
            gone = before
            last = known.parties if known is not None and same_life else frozenset()
            self._put(key, _Record(record.since, last, is_live=False))
        for party in record.parties - before:
            self._on_taken(key, party)
        for party in gone:
            self._on_gone(key, party, record.is_live)
        if len(self._records) > 2 * len(self._sessions) + _ROOM_FOR_FORGOTTEN:
            self._forget(self._records)

    def _forget(self, keys: Iterable[SessionKey]) -> None:
        """Drop those of `keys` that the registry does not know any more."""
        for key in [key for key in keys if self._sessions.find(key) is None]:
            self._put(key, None)

    def _put(self, key: SessionKey, record: _Record | None) -> None:
        before = self._records.pop(key, None)
        users_before = {party.uid for party in before.parties} if before else set()
        users_now = {party.uid for party in record.parties} if record else set()
        for uid, usage in before.usages if before else ():
            self._count(uid, usage, -1)
        for uid, usage in record.usages if record else ():
            self._count(uid, usage, 1)
        if record is not None:
            self._records[key] = record
        for uid in users_before - users_now:
            del self._keys[uid][key]
            if not self._keys[uid]:
                del self._keys[uid]
        for uid in users_now - users_before:
            self._keys.setdefault(uid, {})[key] = None

    def _count(self, uid: int, usage: Usage, sign: int) -> None:
        self._usage = self._usage.plus(usage, sign)
        of_user = self._usages.pop(uid, Usage()).plus(usage, sign)
        if of_user.holds:
            self._usages[uid] = of_user


def size_of(hold: Hold) -> int:
    """Return the bytes of a hold's texts: its note, its token and its owner's name."""
    token = 0 if hold.token is None else len(hold.token.value)
    return len(hold.note.encode()) + token + len(hold.owner.id)


def _record(session: Session) -> _Record:
    parties = _one_set_of(tuple(Party(hold.uid, hold.owner) for hold in session.holds))
    is_live = not session.state.is_final
    return _Record(session.since, parties, is_live, _usages(session) if is_live else ())


def _usages(session: Session) -> tuple[tuple[int, Usage], ...]:
    usages: dict[int, Usage] = {}
    for hold in session.holds:
        if hold.owner.kind not in DAEMONS_OWN:
            usages[hold.uid] = usages.get(hold.uid, Usage()).plus(Usage(1, size_of(hold)))
    return tuple(usages.items())


@lru_cache(maxsize=16)
def _one_set_of(parties: tuple[Party, ...]) -> frozenset[Party]:
    """Return the set of these, the same object for the many sessions of a file."""
    return frozenset(parties)
