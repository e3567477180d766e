"""The state file at work: many writers, one thread, one fsync for all who wait together."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from keepalived.host.clock import Clock, sleep_until
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.store import rows
from keepalived.store.errors import StoreWriteError
from keepalived.store.files import lock, open_database
from keepalived.store.rows import Statement, Times

T = TypeVar("T")
log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0
"""How often deadlines and progress are written. Older ones only make renewals come early."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was kept. Times are of this boot's boot-time clock.

    `sessions` have their holds; those without one were held by files. `ended` come with the time
    of their end.
    """

    sessions: tuple[Session, ...] = ()
    ended: tuple[tuple[Session, float], ...] = ()


@dataclass(slots=True)
class _Write:
    """Statements that belong together, and whoever waits for them to be on disk.

    `keep` is for what must not be forgotten where it cannot be written now.
    """

    statements: tuple[Statement, ...]
    keep: bool
    done: asyncio.Future[None] | None = None


class Store:
    """Keeps holds, deadlines and ends in the file at `path`.

    Everything that touches SQLite runs in one thread of its own.
    """

    def __init__(self, path: Path, clock: Clock, boot_id: str) -> None:
        self.path = path
        self._clock = clock
        self._boot_id = boot_id
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._lock = -1
        self._database: sqlite3.Connection | None = None
        self._waiting: list[_Write] = []
        self._committing: asyncio.Task[None] | None = None
        self._changed: dict[SessionKey, Session] = {}
        self._is_failing = False

    async def open(self) -> Stored:
        """Lock and open the file, and return what it holds. Raises StoreError."""
        return await self._in_thread(self._open)

    async def run(self) -> None:
        """Write deadlines and progress from time to time, until cancelled."""
        while True:
            await sleep_until(self._clock, self._clock.boot() + FLUSH_SECONDS)
            self._flush()

    async def close(self) -> None:
        """Write what is left, and let the file go. Idempotent."""
        if self._lock < 0:
            return
        self._flush()
        if self._committing is not None:
            await self._committing
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    # -- what is written before the caller goes on

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Write a hold, and return once it is on disk. Raises StoreWriteError."""
        await self._write(((rows.PUT_HOLD, rows.hold_row(key, hold, self._times())),), keep=False)

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove a hold, and return once that is on disk.

        Raises StoreWriteError where that is not possible now; it is done as soon as it is.
        """
        await self._write(((rows.DELETE_HOLD, rows.party_of(key, uid, owner)),), keep=True)

    # -- what is written before long

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove a hold whose time is over."""
        self._enqueue(_Write(((rows.DELETE_HOLD, rows.party_of(key, uid, owner)),), keep=True))

    def note_session(self, session: Session) -> None:
        """Write within seconds how a session stands."""
        self._changed[session.key] = session

    def note_end(self, session: Session, ended_at: float) -> None:
        """Write how a session ended; its holds go with it."""
        self._changed.pop(session.key, None)
        row = rows.session_row(session, ended_at, self._times())
        holds = (rows.DELETE_HOLDS, rows.id_of(session.key))
        self._enqueue(_Write(((rows.PUT_SESSION, row), holds), keep=True))

    def forget(self, key: SessionKey) -> None:
        """Remove what is known of a session."""
        self._changed.pop(key, None)
        self._enqueue(_Write(((rows.DELETE_SESSION, rows.id_of(key)),), keep=True))

    # -- group commit

    async def _write(self, statements: tuple[Statement, ...], *, keep: bool) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(_Write(statements, keep, done))
        await done

    def _enqueue(self, write: _Write) -> None:
        self._waiting.append(write)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting(), name="commit")

    async def _commit_waiting(self) -> None:
        """Commit what waits, all together, and then what came in the meantime."""
        kept: list[_Write] = []
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure = await self._in_thread(partial(self._commit, batch))
            self._say(failure)
            for write in batch:
                if failure is not None and write.keep:
                    kept.append(replace(write, done=None))
                if write.done is None or write.done.done():
                    continue
                if failure is None:
                    write.done.set_result(None)
                else:
                    write.done.set_exception(failure)
        self._waiting = kept
        self._committing = None

    def _flush(self) -> None:
        changed, self._changed = self._changed, {}
        times = self._times()
        statements = tuple(
            (rows.PUT_SESSION, rows.session_row(session, None, times))
            for session in changed.values()
        )
        if statements or self._waiting:
            self._enqueue(_Write(statements, keep=True))

    def _say(self, failure: StoreWriteError | None) -> None:
        """Log once when writing begins to fail, and once when it works again."""
        if failure is not None and not self._is_failing:
            log.error("state_not_written", path=str(self.path), reason=str(failure))
        if failure is None and self._is_failing:
            log.info("state_written_again", path=str(self.path))
        self._is_failing = failure is not None

    def _times(self) -> Times:
        return Times.now(self._clock, self._boot_id)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Shielded by nature: a caller that is cancelled does not stop the thread.
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # -- in the thread

    def _open(self) -> Stored:
        self._lock = lock(self.path)
        try:
            self._database = open_database(self.path)
            return _load(self._database, self._times())
        except BaseException:
            self._close()
            raise

    def _commit(self, batch: list[_Write]) -> StoreWriteError | None:
        """Write a batch in one transaction, or nothing of it; return what went wrong."""
        database = self._database
        assert database is not None  # noqa: S101 - opened before anything is written
        try:
            database.execute("BEGIN")
            for write in batch:
                for statement, values in write.statements:
                    database.execute(statement, values)
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            return _write_error(self.path, error)
        return None

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        os.close(self._lock)
        self._lock = -1


def _load(database: sqlite3.Connection, times: Times) -> Stored:
    holds: dict[SessionKey, list[Hold]] = {}
    for row in database.execute("SELECT * FROM hold"):
        key, hold = rows.read_hold(row, times)
        holds.setdefault(key, []).append(hold)
    sessions: list[Session] = []
    ended: list[tuple[Session, float]] = []
    for row in database.execute("SELECT * FROM session"):
        session, ended_at = rows.read_session(row, times)
        held = tuple(holds.pop(session.key, ()))
        if ended_at is None or held:
            # A hold that came after the end had been written begins the session anew.
            begun = session if ended_at is None else _never_renewed(session.key, held)
            sessions.append(replace(begun, holds=held))
        else:
            ended.append((session, ended_at))
    sessions += [_never_renewed(key, tuple(held)) for key, held in holds.items()]
    return Stored(tuple(sessions), tuple(ended))


def _never_renewed(key: SessionKey, holds: tuple[Hold, ...]) -> Session:
    since = min(hold.since for hold in holds)
    return Session(key, 0.0, 0.0, since, 0.0, holds)


def _write_error(path: Path, error: sqlite3.Error) -> StoreWriteError:
    # A full disk may also surface as a failed write of the log.
    full = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC)
    code = errno.ENOSPC if getattr(error, "sqlite_errorcode", None) in full else errno.EIO
    return StoreWriteError(code, str(error), str(path))
