"""The SQL of the tables, and the migrations of older files."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x636C6B61
"""Marks state files in the SQLite header ("clka")."""

VERSION_1 = """
CREATE TABLE hold (
  vcenter TEXT, kind TEXT, id TEXT, uid INTEGER, owner_kind TEXT, owner_id TEXT,
  boot_id TEXT, since_boot REAL, since_wall REAL, until_boot REAL, until_wall REAL,
  percent INTEGER, done INTEGER, total INTEGER, note TEXT,
  PRIMARY KEY (vcenter, kind, id, uid, owner_kind, owner_id)
) WITHOUT ROWID;
CREATE TABLE session (
  vcenter TEXT, kind TEXT, id TEXT,
  boot_id TEXT, since_boot REAL, since_wall REAL, renewed_boot REAL, renewed_wall REAL,
  configured_lifetime REAL, lifetime REAL, renewals INTEGER, acknowledged INTEGER,
  item_id TEXT, content_version TEXT, item_name TEXT, item_version TEXT, library TEXT,
  ended_boot REAL, ended_wall REAL,
  state TEXT, reason TEXT, error_message TEXT, content_moved INTEGER,
  PRIMARY KEY (vcenter, kind, id)
) WITHOUT ROWID;
"""

VERSION_2 = """
ALTER TABLE hold ADD COLUMN token TEXT;
ALTER TABLE session ADD COLUMN moved_boot REAL;
ALTER TABLE session ADD COLUMN moved_wall REAL;
"""

MIGRATIONS: tuple[str, ...] = (VERSION_1, VERSION_2)
"""The migration at index n migrates a file from version n to version n + 1."""


def version_of(database: sqlite3.Connection) -> int:
    """Return the version of a file's tables; 0 for an empty file."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(database: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Migrate the tables to the newest version, each step in a transaction."""
    for version in range(version_of(database), len(migrations)):
        database.executescript(
            f"BEGIN;\n{migrations[version]}\nPRAGMA user_version = {version + 1};\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nCOMMIT;"
        )
