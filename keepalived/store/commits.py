"""Operations on the open file, in the store's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import chain, groupby
from typing import Any

from keepalived.store.changes import SCRUB, Change
from keepalived.store.mapper import Table
from keepalived.store.times import Times

MANY = 50
"""The most rows that one statement writes: SQLite does that without the interpreter's lock, which
it takes and releases for each statement."""

_ITS_OWN = (
    UnicodeError,
    OverflowError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""Errors of a change itself, independent of other changes and of the disk."""


def commit(database: sqlite3.Connection, changes: Sequence[Change], times: Times) -> list[Change]:
    """Write changes in one transaction, or none of them.

    Returns the changes that can never be written, and are left out. Raises sqlite3.Error.
    """
    _end(database)
    left_out: list[Change] = []
    try:
        database.execute("BEGIN")
        for table, group in groupby(changes, lambda change: change.record and change.table):
            alike = list(group)
            for first in range(0, len(alike), MANY):
                left_out += _write(database, table, alike[first : first + MANY], times)
        database.execute("COMMIT")
    finally:
        with suppress(sqlite3.Error):
            _end(database)
    return left_out


def _write(
    database: sqlite3.Connection, table: Table[Any] | None, alike: Sequence[Change], times: Times
) -> list[Change]:
    """Put at most MANY rows into a table, or remove rows; return what cannot be written."""
    if table is not None and len(alike) == MANY:
        with suppress(*_ITS_OWN):
            rows = [table.values(change.record, times) for change in alike]
            database.execute(_put(table, MANY), tuple(chain.from_iterable(rows)))
            return []
    left_out = []
    for change in alike:
        try:
            if change is SCRUB:
                database.execute("UPDATE hold SET token = NULL WHERE token IS NOT NULL")
            elif table is None:
                database.execute(_delete(change.table, len(change.key)), change.key)
            else:
                database.execute(_put(table), table.values(change.record, times))
        except _ITS_OWN:
            left_out.append(change)
    return left_out


# Statements contain only names defined in this package.


@cache
def _put(table: Table[Any], rows: int = 1) -> str:
    row = f"({', '.join('?' * len(table.names))})"
    names, values = ", ".join(table.names), ", ".join([row] * rows)
    return f"INSERT OR REPLACE INTO {table.name} ({names}) VALUES {values}"  # noqa: S608


@cache
def _delete(table: Table[Any], count: int) -> str:
    """Return the statement that removes the rows whose first `count` columns have given values."""
    condition = " AND ".join(f"{name}=?" for name in table.names[:count])
    return f"DELETE FROM {table.name} WHERE {condition}"  # noqa: S608


def purge(database: sqlite3.Connection, *, rewrite: bool) -> None:
    """Empty the write-ahead log, which still contains deleted data. Raises sqlite3.Error.

    With `rewrite`, the whole file is rewritten first: where rows moved between pages, an old copy
    can remain that no deletion reaches.
    """
    if rewrite:
        database.execute("VACUUM")
    # Read to its end: a statement with rows left counts as writing for as long as its cursor is
    # referenced (as by a look at all objects), and no transaction could be committed.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _end(database: sqlite3.Connection) -> None:
    """Roll back an interrupted transaction: the next one could not begin."""
    if database.in_transaction:
        database.execute("ROLLBACK")
