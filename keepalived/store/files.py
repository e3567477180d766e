"""Locks and opens the state file; refuses foreign or damaged files without changing them."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path

from keepalived.store.errors import StoreError
from keepalived.store.schema import APPLICATION_ID, MIGRATIONS, migrate, version_of

_MODE = 0o600
_SQLITE_MAGIC = b"SQLite format 3\x00"
_HEADER_SIZE = 100
_APPLICATION_ID = slice(68, 72)
"""The position of the application id in the header of an SQLite file, big-endian."""
_OUR_ID = APPLICATION_ID.to_bytes(4, "big")


def lock(path: Path) -> int:
    """Lock a state file for this process, and return the descriptor that keeps it locked.

    The lock is on a separate file, which is never removed: otherwise two daemons could lock two
    files with the same name. Raises StoreError.
    """
    lock_file = lock_path(path)
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError as error:
        raise StoreError(
            f"{lock_file}: {error.strerror}; set state.path to a writable folder"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        by = f" by process {holder}" if holder else ""
        raise StoreError(f"{path}: in use{by}; give each daemon its own state.path") from None
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{lock_file}: cannot be locked: {error.strerror}") from None
    # The process id is only informative: if the disk is full, the lock works without it.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def lock_path(path: Path) -> Path:
    """Return the path of the lock of a state file."""
    return path.with_name(f"{path.name}.lock")


def refuse_special_files(path: Path) -> None:
    """Raise StoreError if a path is a folder, pipe or device: opening it might hang."""
    for each in (path, lock_path(path), *companions(path)):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(each.stat().st_mode):
                raise StoreError(f"{each}: not a regular file; move it away, or correct state.path")


def companions(path: Path) -> tuple[Path, ...]:
    """Return the paths of the other files that SQLite may create for a database."""
    return tuple(path.with_name(f"{path.name}{each}") for each in ("-wal", "-shm", "-journal"))


def open_database(path: Path) -> sqlite3.Connection:
    """Open a state file, creating it if missing. Raises StoreError without changing the file."""
    try:
        _refuse_log_alone(path)
        # Private to this user; SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        _check(path)
        # A file restored from a copy may be readable by others, and may contain tokens.
        # The mode of another user's file cannot be changed.
        with suppress(PermissionError):
            path.chmod(_MODE)
        database = sqlite3.connect(path, isolation_level=None)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}; restore it from a copy, or move it away") from None
    try:
        database.execute("PRAGMA synchronous = FULL")
        # Overwrite deleted data, so that no token remains in a free page, and create no temporary
        # files in another folder.
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA temp_store = MEMORY")
        # Migrate before enabling the log, so that a file with a log always has its tables.
        migrate(database)
        database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        database.close()
        raise StoreError(f"{path}: {error}") from None
    return database


def _refuse_log_alone(path: Path) -> None:
    """Refuse a log without its database: SQLite would truncate it for a new database."""
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    if has_log and not (path.exists() and path.stat().st_size > 0):
        raise StoreError(
            f"{path}: missing or empty, although its log {log} exists; restore the file, or move "
            "the log away to start with an empty state"
        )


def _check(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if not header:
        return
    if not header.startswith(_SQLITE_MAGIC) or header[_APPLICATION_ID] != _OUR_ID:
        raise StoreError(f"{path}: not a state file of clkeepalived; correct state.path")
    if path.with_name(f"{path.name}-journal").exists():
        # The process was killed while creating the tables; SQLite rolls that back on opening.
        return
    # Read-only, so that a refused file is not changed.
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        result = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        version = version_of(database)
    finally:
        database.close()
    if result != "ok":
        raise StoreError(f"{path}: damaged ({result}); restore it from a copy, or move it away")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: written by a newer release (version {version}, this one knows "
            f"{len(MIGRATIONS)}); upgrade, or move it away"
        )
