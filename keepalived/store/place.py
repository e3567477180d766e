"""Whether the open state file is still the one that its path names.

A file that was removed or replaced can be written on and on, and is gone at the next start. The
write-ahead log belongs to it, and so does the lock that keeps a second daemon away. What somebody
else has cut off, or written over the beginning of the log, shows in sizes and in the log's header,
since only this connection writes there.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from keepalived.store.files import companions, lock, lock_path, open_database

_LOG_HEADER_SIZE = 32
Identity = tuple[int, int]
Contents = tuple[int, int, bytes]
"""The sizes of the database and of its log, and the log's header, which each use of it changes."""


class Place:
    """The identities of the files that are open; all of it is called in the store's thread."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self.lock = lock
        self._database = _identity(path)
        self._log: Identity | None = None
        self._contents: Contents | None = None

    def note_contents(self) -> None:
        """Remember what stands in the files after a write of our own."""
        self._contents = self._look()

    def _look(self) -> Contents | None:
        try:
            size, header, log_size = self._path.stat().st_size, b"", 0
            # Not the database itself: closing it would give up the locks that SQLite has on it.
            with suppress(FileNotFoundError), _log(self._path).open("rb") as log:
                header, log_size = log.read(_LOG_HEADER_SIZE), os.fstat(log.fileno()).st_size
        except OSError:
            return None
        return size, log_size, header

    def lost(self, *, written: bool) -> str:
        """Return what is not there any more, and nothing if all is.

        `written` says that something was just written: there is a log then.
        """
        if _identity(self._path) != self._database:
            return "it was removed or replaced while it was in use"
        if not self._is_locked():
            return f"{lock_path(self._path)} was removed or replaced while it was in use"
        log = _identity(_log(self._path))
        if self._log is None and written:
            self._log = log
        if log != self._log and (written or self._log is not None):
            return f"{_log(self._path)} was removed or replaced while it was in use"
        if not written and self._contents not in (None, self._look()):
            return "somebody else wrote to it, or to its log, while it was in use"
        return ""

    def _is_locked(self) -> bool:
        ours = _identity(self.lock)
        return ours is not None and ours == _identity(lock_path(self._path))

    def write_anew(self, database: sqlite3.Connection) -> sqlite3.Connection:
        """Write what a connection still has to the path, and return the one to the new file.

        What stands there instead is moved aside. Raises StoreError, OSError and sqlite3.Error; the
        old connection is closed only once the new file stands there.
        """
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        if not self._is_locked():
            fresh = lock(self._path)
            os.close(self.lock)
            self.lock = fresh
        draft = self._path.with_name(f"{self._path.name}.new")
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
        if _identity(self._path) not in (None, self._database):
            self._path.replace(self._path.with_name(f"{self._path.name}.replaced"))
        for each in companions(self._path):
            # They belong to what stood there, and would be taken for the new file's.
            each.unlink(missing_ok=True)
        draft.replace(self._path)
        _sync(self._path.parent)
        # Closing removes the log of that name, which is why the new one is made after it.
        with suppress(sqlite3.Error):
            database.close()
        return self.open()

    def open(self) -> sqlite3.Connection:
        """Open the file at the path. Raises StoreError."""
        database = open_database(self._path)
        self._database = _identity(self._path)
        self._log = None
        self.note_contents()
        return database


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _identity(file: Path | int) -> Identity | None:
    """Return which file stands at a path, or is open; None for none, or one without a name."""
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
