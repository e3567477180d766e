"""Writes changes to the open database, in one transaction each time."""

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
"""The most rows per statement: SQLite releases the interpreter's lock once for each statement."""

_CHANGE_ERRORS = (
    UnicodeError,
    OverflowError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""Errors caused by the values of a change, not by the disk or by other changes."""


def commit(database: sqlite3.Connection, changes: Sequence[Change], times: Times) -> list[Change]:
    """Write changes in one transaction, all or none.

    Changes that can never be written are left out, and returned. Raises sqlite3.Error.
    """
    _roll_back(database)
    left_out: list[Change] = []
    try:
        database.execute("BEGIN")
        for table, group in groupby(changes, lambda change: change.record and change.table):
            same_table = list(group)
            for first in range(0, len(same_table), MANY):
                left_out += _write(database, table, same_table[first : first + MANY], times)
        database.execute("COMMIT")
    finally:
        with suppress(sqlite3.Error):
            _roll_back(database)
    return left_out


def _write(
    database: sqlite3.Connection, table: Table[Any] | None, changes: Sequence[Change], times: Times
) -> list[Change]:
    """Put at most MANY rows into a table, or delete rows; return what cannot be written."""
    if table is not None and len(changes) == MANY:
        with suppress(*_CHANGE_ERRORS):
            rows = [table.values(change.record, times) for change in changes]
            database.execute(_put(table, MANY), tuple(chain.from_iterable(rows)))
            return []
    left_out = []
    for change in changes:
        try:
            if change is SCRUB:
                database.execute("UPDATE hold SET token = NULL WHERE token IS NOT NULL")
            elif table is None:
                database.execute(_delete(change.table, len(change.key)), change.key)
            else:
                database.execute(_put(table), table.values(change.record, times))
        except _CHANGE_ERRORS:
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
    """Return the statement that deletes the rows whose first `count` columns have given values."""
    condition = " AND ".join(f"{name}=?" for name in table.names[:count])
    return f"DELETE FROM {table.name} WHERE {condition}"  # noqa: S608


def purge(database: sqlite3.Connection, *, rewrite: bool) -> None:
    """Empty the write-ahead log, which still contains deleted data. Raises sqlite3.Error.

    With `rewrite`, the whole file is rewritten first: when rows move between pages, old copies may
    remain that deletions do not overwrite.
    """
    if rewrite:
        database.execute("VACUUM")
    # Fetch all rows: as long as a cursor with rows left is referenced (a debugger may do that), its
    # statement counts as writing, and no transaction can be committed.
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _roll_back(database: sqlite3.Connection) -> None:
    """Roll back an interrupted transaction, so that the next one can begin."""
    if database.in_transaction:
        database.execute("ROLLBACK")
