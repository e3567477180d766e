"""A file of an earlier release is migrated completely or not at all."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Target
from keepalived.lease.model import State
from keepalived.store import schema
from keepalived.store.mapper import Table
from keepalived.store.tables import HOLD, SESSION
from tests.support.state_file import HOLD as A_HOLD
from tests.support.state_file import KEY, opened

# What the first release wrote, in its own words.
FIRST_RELEASE = """
BEGIN;
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
PRAGMA user_version = 1;
PRAGMA application_id = 1668049761;
INSERT INTO hold VALUES ('lab', 'update', '815994e5:9c7e', 1000, 'process', '12:34:boot',
  'this-boot', 100.0, 1799999100.0, 700.0, 1799999700.0, NULL, 5, 10, 'nightly');
INSERT INTO session VALUES ('lab', 'update', '815994e5:9c7e', 'this-boot', 0.0, 1799999000.0,
  900.0, 1799999900.0, 300.0, 300.0, 7, 40, 'item-1', '3', 'disk', '3', 'Templates',
  NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO session VALUES ('lab', 'update', 'gone', 'this-boot', 0.0, 1799999000.0,
  900.0, 1799999900.0, 300.0, 300.0, 7, 40, 'item-1', '3', 'disk', '3', 'Templates',
  999.0, 1799999999.0, 'ERROR', 'the server reports an error', 'no space left', 0);
COMMIT;
"""


@pytest.fixture(params=["DELETE", "WAL"])
def old_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(FIRST_RELEASE)
        database.execute(f"PRAGMA journal_mode = {request.param}")
    return path


async def assert_all_is_there(path: Path) -> None:
    async with opened(path.parent) as (store, stored):
        (session,) = stored.sessions
        assert (session.key, session.holds, session.renewals) == (KEY, (A_HOLD,), 7)
        assert session.state is State.ACTIVE
        assert session.target == Target("item-1", "3")
        assert session.item == ItemInfo("item-1", "disk", "3", "Templates")
        assert session.moved_at is None
        ((end, ended_at),) = stored.ended
        assert (end.state, end.key.id, ended_at) == (State.ERROR, "gone", 999.0)
        await store.put_hold(KEY, A_HOLD)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)


async def test_a_file_of_the_first_release_keeps_all_that_it_says(old_file: Path) -> None:
    await assert_all_is_there(old_file)


@pytest.mark.parametrize("table", [HOLD, SESSION], ids=lambda table: table.name)
def test_a_new_file_has_the_columns_of_the_mapper(table: Table[Any]) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        schema.migrate(database)
        found = database.execute(f"PRAGMA table_info({table.name})").fetchall()
    assert [(name, type_) for _, name, type_, *_ in found] == [
        (column.name, {str: "TEXT", int: "INTEGER", float: "REAL"}[column.type])
        for column in table.columns
    ]


KILLED_WHILE_MIGRATING = """
import os, signal, sqlite3, sys
from pathlib import Path
from keepalived.store import files

statements = 0

def count(statement):
    global statements
    statements += 1
    if statements == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

migrate = files.migrate

def migrate_and_die(database):
    # Nothing waits in memory: whatever is written is in the files at once.
    database.execute("PRAGMA cache_size = 1")
    database.execute("PRAGMA cache_spill = 1")
    database.set_trace_callback(count)
    migrate(database)
    database.set_trace_callback(None)

files.migrate = migrate_and_die
files.open_database(Path(sys.argv[1])).close()
"""


async def test_a_crash_amid_a_migration_leaves_a_file_that_can_be_used(old_file: Path) -> None:
    before = {path.name: path.read_bytes() for path in old_file.parent.iterdir()}
    deaths = 0
    while True:
        for name, content in before.items():
            old_file.with_name(name).write_bytes(content)
        # A program of this test, ended by itself.
        done = subprocess.run(  # noqa: ASYNC221
            [sys.executable, "-c", KILLED_WHILE_MIGRATING, str(old_file), str(deaths + 1)],
            timeout=120,
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        await assert_all_is_there(old_file)
        for path in old_file.parent.iterdir():
            path.unlink()
        deaths += 1
    # At least at BEGIN, three columns, the version, the application and COMMIT.
    assert deaths >= 7
