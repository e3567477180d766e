"""The open state file: writes it, purges it, and recreates it if it was removed.

A removed or replaced file can still be written to, but the data would be lost at the next start. So
the identity of the file, its write-ahead log and its lock is checked at each commit. If another
process changes the file or the log, their sizes or the log's header differ, since only this
connection should write there.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from keepalived.store import commits
from keepalived.store.changes import Change
from keepalived.store.errors import StoreError, StoreWriteError
from keepalived.store.files import companions, lock, lock_path, open_database, refuse_special_files
from keepalived.store.loading import LoadedState, load, newest
from keepalived.store.log_check import damage_of
from keepalived.store.times import Times

T = TypeVar("T")
Identity = tuple[int, int]
Contents = tuple[int, int, bytes]
"""The sizes of the database and of its log, and the log's header, which changes with each use."""

_LOG_HEADER_SIZE = 32
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)
"""A full disk may also appear as a failed write to the log."""


class StateFile:
    """The state file at `path` and its lock. All methods must be called in the same thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database: sqlite3.Connection | None = None
        self._log_path = path.with_name(f"{path.name}-wal")
        self._lock = -1
        self._identity: Identity | None = None
        self._log: Identity | None = None
        self._contents: Contents | None = None
        self._is_missing = False

    def open(self, times: Times, *, with_tokens: bool) -> LoadedState:
        """Lock and open the file, and return its contents. Raises StoreError."""
        refuse_special_files(self.path)
        self._lock = lock(self.path)
        try:
            damage = damage_of(self._log_path)
            database = self._open()
            loaded = load(database, times, with_tokens=with_tokens)
            if damage is None:
                return loaded
            return loaded._replace(damage=damage, newest=newest(database))
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self.path}: {error}; restore it from a copy") from None
        except BaseException:
            self.close()
            raise

    def commit(self, changes: Sequence[Change], times: Times) -> list[Change]:
        """Write changes; return those that can never be written.

        A file that was removed is recreated for the next changes. Raises StoreWriteError.
        """
        if self._is_missing:
            self._recreate()
        try:
            self._check(written=False)
            left_out = self._do(lambda database: commits.commit(database, changes, times))
            self._check(written=bool(changes))
        except StoreWriteError as error:
            if error.errno == errno.ESTALE:
                # Done before the failure is reported, so that the next change can be written.
                self._recreate()
            raise
        return left_out

    def purge(self, *, rewrite: bool) -> None:
        """Empty the log, and with `rewrite` rewrite the whole file. Raises StoreWriteError."""
        self._check(written=False)
        self._do(lambda database: commits.purge(database, rewrite=rewrite))

    def close(self) -> None:
        """Close the file and release its lock. Idempotent."""
        try:
            if self.database is not None:
                self.database.close()
        finally:
            self.database = None
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = -1

    def _open(self) -> sqlite3.Connection:
        """Open the file at the path. Raises StoreError."""
        self.database = open_database(self.path)
        self._identity = _identity(self.path)
        self._log = None
        self._contents = self._read_contents()
        return self.database

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self.database is None:
            raise StoreWriteError(errno.ESTALE, "it cannot be reopened", str(self.path))
        try:
            return work(self.database)
        except Exception as error:
            # Only SQLite's messages are used: they contain no values.
            is_full = getattr(error, "sqlite_errorcode", None) in _NO_ROOM
            reason = str(error) if isinstance(error, sqlite3.Error) else type(error).__name__
        finally:
            self._contents = self._read_contents()
        # Raised outside the handler, so that no exception with a value is chained to it.
        raise StoreWriteError(errno.ENOSPC if is_full else errno.EIO, reason, str(self.path))

    # -- detecting a removed file

    def _check(self, *, written: bool) -> None:
        """Raise StoreWriteError with ESTALE if a file was removed, replaced or changed.

        `written` says that data was just written, so that a log must exist.
        """
        log = _identity(self._log_path)
        if self._log is None and written:
            self._log = log
        removed = "was removed or replaced while it was in use"
        if _identity(self.path) != self._identity:
            lost = f"it {removed}"
        elif not self._is_locked():
            lost = f"{lock_path(self.path)} {removed}"
        elif log != self._log and (written or self._log is not None):
            lost = f"{self._log_path} {removed}"
        elif not written and self._contents not in (None, self._read_contents()):
            lost = "another process wrote to it or to its log while it was in use"
        else:
            return
        raise StoreWriteError(errno.ESTALE, lost, str(self.path))

    def _is_locked(self) -> bool:
        ours = _identity(self._lock)
        return ours is not None and ours == _identity(lock_path(self.path))

    def _read_contents(self) -> Contents | None:
        try:
            size, header, log_size = self.path.stat().st_size, b"", 0
            # The database itself must not be opened: closing it would release SQLite's locks.
            with suppress(FileNotFoundError), self._log_path.open("rb") as log:
                header, log_size = log.read(_LOG_HEADER_SIZE), os.fstat(log.fileno()).st_size
        except OSError:
            return None
        return size, log_size, header

    # -- recreating it

    def _recreate(self) -> None:
        """Write the connection's data to a new file at the path and open it, if possible.

        The old connection is closed only after the new file exists.
        """
        self._is_missing = True
        with suppress(OSError, StoreError, sqlite3.Error):
            if self.database is not None:
                self._write_copy(self.database)
                # Closing removes the log by name, so the new file is opened afterwards.
                with suppress(sqlite3.Error):
                    self.database.close()
                self.database = None
            self._open()
            self._is_missing = False

    def _write_copy(self, database: sqlite3.Connection) -> None:
        """Write a connection's data to the path. Another file there is renamed."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        if not self._is_locked():
            new_lock = lock(self.path)
            os.close(self._lock)
            self._lock = new_lock
        draft = self.path.with_name(f"{self.path.name}.new")
        for each in (draft, *companions(draft)):
            each.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy = sqlite3.connect(draft, isolation_level=None)
        try:
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        _sync(draft)
        if _identity(self.path) not in (None, self._identity):
            self.path.replace(self.path.with_name(f"{self.path.name}.replaced"))
        for each in companions(self.path):
            # They belong to the former file; SQLite would use them for the new one.
            each.unlink(missing_ok=True)
        draft.replace(self.path)
        _sync(self.path.parent)


def _identity(file: Path | int) -> Identity | None:
    """Return the device and inode of a file; None if it does not exist or has no name."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_nlink else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
