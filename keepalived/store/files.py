"""The state file on disk: locked, private, and never touched unless it is ours and sound."""

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
"""Where the application id stands in the header of SQLite's files, big end first."""
_OUR_ID = APPLICATION_ID.to_bytes(4, "big")


def lock(path: Path) -> int:
    """Lock a state file for this process, and return the descriptor that keeps it locked.

    The lock is on a file beside it, which stays: removing it would let two daemons lock two files
    of one name. Raises StoreError.
    """
    beside = lock_path(path)
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError as error:
        raise StoreError(
            f"{beside}: {error.strerror}; state.path needs a writable folder"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        by = f" by process {holder}" if holder else ""
        raise StoreError(f"{path}: in use{by}; two daemons need a state.path each") from None
    except OSError as error:
        os.close(descriptor)
        raise StoreError(f"{beside}: it cannot be locked: {error.strerror}") from None
    # Who has it is for people to read: a full disk that cannot say it is locked all the same.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def lock_path(path: Path) -> Path:
    """Return the path of the lock of a state file."""
    return path.with_name(f"{path.name}.lock")


def refuse_odd_files(path: Path) -> None:
    """Raise StoreError where a folder, a pipe or a device stands in a file's place: opening one of
    these may hang."""
    for each in (path, lock_path(path), *companions(path)):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(each.stat().st_mode):
                raise StoreError(f"{each}: no regular file; move it away, or correct state.path")


def companions(path: Path) -> tuple[Path, ...]:
    """Return the paths of what SQLite may make beside a database."""
    return tuple(path.with_name(f"{path.name}{each}") for each in ("-wal", "-shm", "-journal"))


def open_database(path: Path) -> sqlite3.Connection:
    """Open a state file, made if it is not there. Raises StoreError, and leaves what it found."""
    try:
        _refuse_log_alone(path)
        # Readable for us alone; SQLite gives what it makes beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        _check(path)
        # One that was restored from a copy is taken away from everybody else: tokens may be in it.
        # One that belongs to another user, who let us in, is that user's to keep.
        with suppress(PermissionError):
            path.chmod(_MODE)
        database = sqlite3.connect(path, isolation_level=None)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}; restore it from a copy, or move it away") from None
    try:
        database.execute("PRAGMA synchronous = FULL")
        # What is deleted is overwritten: a token must not linger in a page that is free. And what
        # is rewritten is not laid out in some other folder meanwhile.
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA temp_store = MEMORY")
        # Before the change to a write-ahead log: a file that has one has its tables as well.
        migrate(database)
        database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        database.close()
        raise StoreError(f"{path}: {error}") from None
    return database


def _refuse_log_alone(path: Path) -> None:
    """SQLite takes a new database for the owner of a log that it finds, and empties it."""
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    if has_log and not (path.exists() and path.stat().st_size > 0):
        raise StoreError(
            f"{path}: missing or empty, but there is {log}, which belongs to it; put the file back "
            "beside its log, or move the log away to begin with nothing"
        )


def _check(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if not header:
        return
    if not header.startswith(_SQLITE_MAGIC) or header[_APPLICATION_ID] != _OUR_ID:
        raise StoreError(f"{path}: this is no state file of clkeepalived; correct state.path")
    if path.with_name(f"{path.name}-journal").exists():
        # Killed while its tables were made: SQLite takes that back on opening.
        return
    # Read-only, so that a file that is refused stays as it is.
    looking = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        verdict = looking.execute("PRAGMA quick_check(1)").fetchone()[0]
        version = version_of(looking)
    finally:
        looking.close()
    if verdict != "ok":
        raise StoreError(f"{path}: damaged ({verdict}); restore it from a copy, or move it away")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path}: written by a newer release (version {version}, this one knows "
            f"{len(MIGRATIONS)}); upgrade, or move it away"
        )
