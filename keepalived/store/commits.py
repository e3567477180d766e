"""What is done to the open file, in the store's thread."""

from __future__ import annotations

import errno
import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from keepalived.store.changes import AnyChange, Change, PutSession, single
from keepalived.store.errors import StoreWriteError
from keepalived.store.tables import MANY, SESSION

_ITS_OWN = (
    UnicodeError,
    OverflowError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What is wrong with a change itself: no other one, and no disk, has anything to do with it."""

_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)
"""A full disk may also surface as a failed write of the log."""


def commit(
    database: sqlite3.Connection, changes: Sequence[AnyChange]
) -> tuple[Change | PutSession, ...]:
    """Write changes in one transaction, or none of them.

    Returns those that cannot be written, now or ever, and are left out. Raises sqlite3.Error.
    """
    _end(database)
    left_out: list[Change | PutSession] = []
    try:
        database.execute("BEGIN")
        for change in changes:
            alike = tuple(single(change))
            for first in range(0, len(alike), MANY):
                left_out += _write(database, alike[first : first + MANY])
        database.execute("COMMIT")
    finally:
        with suppress(sqlite3.Error):
            _end(database)
    return tuple(left_out)


def _write(
    database: sqlite3.Connection, alike: Sequence[Change | PutSession]
) -> list[Change | PutSession]:
    """Write changes of one kind, at most MANY; return those that cannot be written."""
    if len(alike) == MANY:
        values = tuple(itertools.chain.from_iterable(change.values for change in alike))
        with suppress(*_ITS_OWN):
            database.execute(SESSION.put_many, values)
            return []
    left_out = []
    for change in alike:
        try:
            database.execute(change.statement, change.values)
        except _ITS_OWN:
            left_out.append(change)
    return left_out


def purge(database: sqlite3.Connection, *, rewrite: bool) -> None:
    """Empty the write-ahead log, where what was deleted still stands. Raises sqlite3.Error.

    With `rewrite`, the whole file is written anew first: where rows moved between pages, an old
    copy can be left behind that no deletion reaches.
    """
    if rewrite:
        database.execute("VACUUM")
    # Read to its end: a statement that has more to say counts as writing, for as long as anything
    # keeps its cursor (a look at all objects does), and no transaction could be committed.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def write_error(path: Path, error: Exception) -> StoreWriteError:
    """Say what went wrong. Only SQLite's own words are repeated: they hold no values."""
    code = getattr(error, "sqlite_errorcode", None)
    reason = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
    return StoreWriteError(errno.ENOSPC if code in _NO_ROOM else errno.EIO, reason, str(path))


def unwritable(path: Path) -> StoreWriteError:
    """Say that a change itself cannot be written, without repeating it."""
    words = "it holds a text or a number that the state file cannot take"
    return StoreWriteError(errno.EINVAL, words, str(path))


def _end(database: sqlite3.Connection) -> None:
    """Take back a transaction that something cut short: the next one could not begin."""
    if database.in_transaction:
        database.execute("ROLLBACK")
