"""The state file on disk: locked, private, and never changed unless it is ours and intact."""

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
"""Position of the application id in the header of SQLite files, in big-endian order."""
_OUR_ID = APPLICATION_ID.to_bytes(4, "big")


def lock(path: Path) -> int:
    """Lock a state file for this process, and return the descriptor that keeps it locked.

    The lock is on a file beside it, which is never removed: otherwise two daemons could lock two
    files of the same name. Raises StoreError.
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
    # The owner's name is for people: if a full disk cannot store it, the lock still holds.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def lock_path(path: Path) -> Path:
    """Return the path of the lock of a state file."""
    return path.with_name(f"{path.name}.lock")


def refuse_odd_files(path: Path) -> None:
    """Raise StoreError if the path is a folder, a pipe or a device: opening one of these may
    hang."""
    for each in (path, lock_path(path), *companions(path)):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(each.stat().st_mode):
                raise StoreError(f"{each}: no regular file; move it away, or correct state.path")


def companions(path: Path) -> tuple[Path, ...]:
    """Return the paths of the files that SQLite may create beside a database."""
    return tuple(path.with_name(f"{path.name}{each}") for each in ("-wal", "-shm", "-journal"))


def open_database(path: Path) -> sqlite3.Connection:
    """Open a state file, creating it if missing. Raises StoreError, and changes nothing then."""
    try:
        _refuse_log_alone(path)
        # Readable only by us; SQLite gives the files that it creates beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
        _check(path)
        # Remove others' access to a file restored from a copy: it may contain tokens.
        # A file of another user, who granted us access, is left as it is.
        with suppress(PermissionError):
            path.chmod(_MODE)
        database = sqlite3.connect(path, isolation_level=None)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}; restore it from a copy, or move it away") from None
    try:
        database.execute("PRAGMA synchronous = FULL")
        # Deleted data is overwritten: a token must not remain in a free page. And rewriting must
        # not create temporary files in another folder.
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
    """Refuse a log without its database: SQLite would empty it for a new database."""
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
        # Killed while its tables were created: SQLite rolls that back on opening.
        return
    # Read-only, so that a refused file is not changed.
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
