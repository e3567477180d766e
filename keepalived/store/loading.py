"""Between what was written and the core's words: all that can be read, and by name what cannot."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending, Target
from keepalived.lease.holds import Borrowed, Hold, Owner, OwnerKind, check_token
from keepalived.lease.model import Kind, SessionKey, State, check_session_id
from keepalived.lease.progress import UNKNOWN, Progress
from keepalived.lease.session import Session
from keepalived.store.tables import FARTHEST, HOLD, SESSION, Table
from keepalived.store.times import Times

T = TypeVar("T")
Row = tuple[Any, ...]

# Looking a word up in a dictionary is much faster than asking the enumeration.
_KINDS = {kind.value: kind for kind in Kind}
_OWNER_KINDS = {kind.value: kind for kind in OwnerKind}
_ENDS = {state.value: state for state in State if state.is_final}


_NEWEST = """
SELECT max(at) FROM (
  SELECT since_wall AS at FROM hold UNION ALL SELECT since_wall FROM session
  UNION ALL SELECT renewed_wall FROM session UNION ALL SELECT ended_wall FROM session
) WHERE at <= ?
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept. Times are of this boot's boot-time clock.

    `sessions` have their holds; those without one were held by files. `ended` come with the time
    of their end.
    """

    sessions: tuple[Session, ...] = ()
    ended: tuple[tuple[Session, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that stays where it is, because nobody knows what it means."""

    table: str
    vcenter: str
    session_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file holds: what could be read, and what could not; whether tokens are in it.

    `newest` is the latest time at which something of it was written, in seconds since the epoch.
    """

    stored: Stored
    unreadable: tuple[Unreadable, ...]
    has_tokens: bool
    newest: float | None = None


def load(database: sqlite3.Connection, times: Times) -> Loaded:
    """Read a state file. Raises sqlite3.Error."""
    with _nothing_is_garbage():
        try:
            return _load(database, times)
        except sqlite3.OperationalError:
            # Text that is not UTF-8 ends the query; the error repeats it, and must not be shown.
            database.text_factory = _text_or_bytes
        try:
            return _load(database, times)
        finally:
            database.text_factory = str


def without_tokens(stored: Stored) -> Stored:
    """Return the same without the tokens that were lent."""
    sessions = (
        session._replace(holds=tuple(replace(hold, token=None) for hold in session.holds))
        if any(hold.token for hold in session.holds)
        else session
        for session in stored.sessions
    )
    return replace(stored, sessions=tuple(sessions))


def _load(database: sqlite3.Connection, times: Times) -> Loaded:
    unreadable: list[Unreadable] = []
    holds: dict[SessionKey, list[Hold]] = {}
    for key, hold in _read(database, HOLD, read_hold, times, unreadable):
        holds.setdefault(key, []).append(hold)
    sessions: list[Session] = []
    ended: list[tuple[Session, float]] = []

    def read(row: Row, times: Times) -> tuple[Session, float | None]:
        return read_session(row, times, holds)

    for session, ended_at in _read(database, SESSION, read, times, unreadable):
        if ended_at is None:
            sessions.append(session)
        elif session.holds:
            # A hold that came after the end had been written begins the session anew.
            sessions.append(_never_renewed(session.key, session.holds))
        else:
            ended.append((session, ended_at))
        holds.pop(session.key, None)
    sessions += [_never_renewed(key, tuple(held)) for key, held in holds.items()]
    tokens = database.execute("SELECT 1 FROM hold WHERE token IS NOT NULL LIMIT 1").fetchone()
    newest = database.execute(_NEWEST, (FARTHEST,)).fetchone()[0]
    return Loaded(
        Stored(tuple(sessions), tuple(ended)),
        tuple(unreadable),
        tokens is not None,
        newest if isinstance(newest, float) else None,
    )


def _read(
    database: sqlite3.Connection,
    table: Table,
    read: Callable[[Row, Times], T],
    times: Times,
    unreadable: list[Unreadable],
) -> Iterator[T]:
    """Read the rows of a table one by one: one that means nothing does not stop the others."""
    for row in database.execute(table.select):
        try:
            table.check(row)
            yield read(row, times)
        except (ValueError, ArithmeticError, LookupError, TypeError) as error:
            vcenter, _, session_id, *_ = row
            unreadable.append(Unreadable(table.name, str(vcenter), str(session_id), str(error)))


def read_hold(row: Row, times: Times) -> tuple[SessionKey, Hold]:
    """Return the hold of a row, and whose it is. Raises ValueError."""
    (vcenter, kind, session_id, uid, owner_kind, owner_id, boot_id, *since_until, note, token) = row
    since_boot, since_wall, until_boot, until_wall, percent, done, total = since_until
    if owner_kind not in _OWNER_KINDS:
        raise ValueError("owner_kind is none that this release knows")
    if _OWNER_KINDS[owner_kind] is OwnerKind.TIME_LIMIT and not 0 < float(owner_id) <= FARTHEST:
        raise ValueError("owner_id is no number of seconds")
    known = percent is not None or done is not None or total is not None
    hold = Hold(
        uid,
        _one(Owner(_OWNER_KINDS[owner_kind], owner_id)),
        times.read(boot_id, since_boot, since_wall),
        times.read_if_any(boot_id, until_boot, until_wall),
        Progress(percent, done, total) if known else UNKNOWN,
        note,
        None if token is None else Borrowed(check_token(token), proven=True),
    )
    return _key(vcenter, kind, session_id), hold


def read_session(
    row: Row, times: Times, holds: dict[SessionKey, list[Hold]]
) -> tuple[Session, float | None]:
    """Return the session of a row with its `holds`, and when it ended if it has.

    Raises ValueError.
    """
    vcenter, kind, session_id, boot_id, since_boot, since_wall, renewed_boot, renewed_wall = row[:8]
    configured_lifetime, lifetime, renewals, acknowledged = row[8:12]
    item_id, content_version, item_name, item_version, library = row[12:17]
    ended_boot, ended_wall, word, reason, error_message, content_moved, *moved = row[17:]
    key = _key(vcenter, kind, session_id)
    renewed_at = times.read_if_any(boot_id, renewed_boot, renewed_wall)
    ended_at = times.read_if_any(boot_id, ended_boot, ended_wall)
    state, ending = State.ACTIVE if renewed_at is not None else State.PENDING, None
    if word is not None or ended_at is not None:
        if word not in _ENDS or ended_at is None or reason is None:
            raise ValueError("state, reason and time of its end are none that fit together")
        state = _ENDS[word]
        moved_content = None if content_moved is None else bool(content_moved)
        ending = Ending(state, reason, error_message, moved_content)
    item = None
    if item_name is not None:
        item = ItemInfo(item_id or "", item_name, item_version, library)
    has_target = item_id is not None and content_version is not None
    session = Session(
        key=key,
        configured_lifetime=_one(configured_lifetime),
        lifetime=_one(lifetime),
        since=times.read(boot_id, since_boot, since_wall),
        due=0.0,
        holds=tuple(holds.get(key, ())),
        state=state,
        renewed_at=renewed_at,
        renewals=renewals,
        acknowledged=acknowledged,
        target=Target(item_id, content_version) if has_target else None,
        item=item,
        ending=ending,
        moved_at=times.read_if_any(boot_id, *moved),
    )
    return session, ended_at


def _key(vcenter: str, kind: str, session_id: str) -> SessionKey:
    if kind not in _KINDS:
        raise ValueError("kind is none that this release knows")
    return SessionKey(_one(vcenter), _KINDS[kind], check_session_id(session_id))


@lru_cache(maxsize=1024)
def _one(value: T) -> T:
    """Return the first one of all equal values: each row comes with objects of its own."""
    return value


def _never_renewed(key: SessionKey, holds: tuple[Hold, ...]) -> Session:
    since = min(hold.since for hold in holds)
    return Session(key, 0.0, 0.0, since, 0.0, holds)


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


@contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """Spare the search for garbage while a lot is made that all stays: it takes half the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
