"""Reads a state file: all readable rows, and the keys of the unreadable ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from keepalived.host.gc_tuning import gc_paused
from keepalived.lease.holds import Hold
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.store.log_check import Damage
from keepalived.store.mapper import FARTHEST, Table
from keepalived.store.tables import HOLD, SESSION
from keepalived.store.times import Times

R = TypeVar("R")


_NEWEST = """
SELECT max(at) FROM (
  SELECT since_wall AS at FROM hold UNION ALL SELECT since_wall FROM session
  UNION ALL SELECT renewed_wall FROM session UNION ALL SELECT ended_wall FROM session
) WHERE at <= ?
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored state. Times are on this boot's boot-time clock.

    `sessions` include their holds; those without one were held by files. `ended` are pairs of a
    session and the time of its end.
    """

    sessions: tuple[Session, ...] = ()
    ended: tuple[tuple[Session, float], ...] = ()


class UnreadableRow(NamedTuple):
    """A row that cannot be read, and stays in the file."""

    table: str
    vcenter: str
    session_id: str
    reason: str


class LoadedState(NamedTuple):
    """The contents of a state file.

    `has_tokens` says whether any row has a token. If the end of the log is damaged, `newest` is
    when the latest readable row was written, in seconds since the epoch.
    """

    stored: Stored
    unreadable: list[UnreadableRow]
    has_tokens: bool
    damage: Damage | None = None
    newest: float | None = None


def load(database: sqlite3.Connection, times: Times, *, with_tokens: bool = True) -> LoadedState:
    """Read a state file, with or without its tokens. Raises sqlite3.Error."""
    with gc_paused():
        try:
            return _load(database, times, with_tokens)
        except sqlite3.OperationalError:
            # Text that is not UTF-8 aborts the query. The error contains it, so it is dropped.
            database.text_factory = _text_or_bytes
        return _load(database, times, with_tokens)


def newest(database: sqlite3.Connection) -> float | None:
    """Return the latest time at which a row was written, in seconds since the epoch.

    Raises sqlite3.Error.
    """
    found = database.execute(_NEWEST, (FARTHEST,)).fetchone()[0]
    return found if isinstance(found, float) else None


def _load(database: sqlite3.Connection, times: Times, with_tokens: bool) -> LoadedState:
    unreadable: list[UnreadableRow] = []
    held: dict[SessionKey, list[Hold]] = {}
    for key, hold in _read(database, HOLD, times, unreadable):
        if hold.token is not None and not with_tokens:
            hold = replace(hold, token=None)
        held.setdefault(key, []).append(hold)
    sessions: list[Session] = []
    ended: list[tuple[Session, float]] = []
    for session, ended_at in _read(database, SESSION, times, unreadable, held=held):
        if ended_at is None:
            sessions.append(session)
        elif session.holds:
            # A hold that was stored after the end restarts the session.
            continue
        else:
            ended.append((session, ended_at))
        held.pop(session.key, None)
    sessions += [
        Session(key, 0.0, 0.0, min(hold.since for hold in holds), 0.0, tuple(holds))
        for key, holds in held.items()
    ]
    tokens = database.execute("SELECT 1 FROM hold WHERE token IS NOT NULL LIMIT 1").fetchone()
    return LoadedState(Stored(tuple(sessions), tuple(ended)), unreadable, tokens is not None)


def _read(
    database: sqlite3.Connection,
    table: Table[R],
    times: Times,
    unreadable: list[UnreadableRow],
    **more: Any,
) -> Iterator[R]:
    """Read the rows of a table one by one, and skip invalid ones."""
    # The statement contains only names defined in this package.
    for row in database.execute(f"SELECT {', '.join(table.names)} FROM {table.name}"):  # noqa: S608
        try:
            yield table.read(row, times, **more)
        except (ValueError, ArithmeticError, LookupError, TypeError) as error:
            vcenter, _, session_id = row[:3]
            unreadable.append(UnreadableRow(table.name, str(vcenter), str(session_id), str(error)))


def _text_or_bytes(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
