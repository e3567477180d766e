"""The state file at work: many writers, one thread, one fsync for all who wait together."""

from __future__ import annotations

import asyncio
import errno
import itertools
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from keepalived.host.clock import Clock, sleep_until
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.store import changes, commits
from keepalived.store.changes import AnyChange, Change, PutSession, PutSessions, single
from keepalived.store.errors import StoreError, StoreWriteError
from keepalived.store.files import lock, refuse_odd_files
from keepalived.store.loading import Loaded, Stored, load, without_tokens
from keepalived.store.log_check import Damage, damage_of
from keepalived.store.place import Place
from keepalived.store.tables import Value
from keepalived.store.times import Times

T = TypeVar("T")
log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0
"""How long deadlines and progress wait to be written. Older ones only make renewals come early."""

_CHECKPOINT_SECONDS = 60.0
"""How long what was written may stand in the log alone while there is always more to write."""

_PIECE = 200
"""Sessions that are written in one transaction: some ten milliseconds, in which the thread takes
the interpreter's lock away from renewals again and again, and holds wait for it."""

_PIECES = 25
"""How many transactions there are in a row at most: with more sessions they become larger."""

_PAUSE_SECONDS = 0.1
"""Between two of them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    """A change, and whoever waits for it to be on disk.

    `keep` is for what must not be forgotten where it cannot be written now.
    """

    change: AnyChange
    keep: bool
    done: asyncio.Future[None] | None = None


class Store:
    """Keeps holds, deadlines and ends in the file at `path`.

    Everything that touches SQLite runs in one thread of its own, in the order in which it was
    asked for: the file never says what memory has left behind, other than for lack of time.
    """

    def __init__(
        self, path: Path, clock: Clock, boot_id: str, *, persist_tokens: bool = True
    ) -> None:
        self.path = path
        self._clock = clock
        self._boot_id = boot_id
        self._persist_tokens = persist_tokens
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._place: Place | None = None
        self._is_lost = False
        self._checkpointed_at = clock.boot()
        self._has_log = True
        self._has_news = False
        self._database: sqlite3.Connection | None = None
        self._is_open = False
        self._waiting: list[_Write] = []
        self._kept: dict[tuple[Value, ...], Change | PutSession] = {}
        self._committing: asyncio.Task[None] | None = None
        self._changed: dict[SessionKey, Session] = {}
        self._refused: set[tuple[Value, ...]] = set()
        self._is_failing = False
        self._has_tokens = False
        # What an earlier process deleted may still stand in the log that it left behind.
        self._must_purge = True
        self._must_rewrite = False
        self._is_unpurged = False

    @property
    def persist_tokens(self) -> bool:
        """Whether borrowed tokens are written. Once they are not, those in the file are removed."""
        return self._persist_tokens

    @persist_tokens.setter
    def persist_tokens(self, wanted: bool) -> None:
        if self._persist_tokens and not wanted:
            self._enqueue(_Write(changes.SCRUB, keep=True))
        self._persist_tokens = wanted

    async def open(self) -> Stored:
        """Lock and open the file, and return what it holds. Raises StoreError."""
        try:
            damage, loaded = await self._in_thread(self._open)
        except BaseException:
            # Whoever gave up waiting leaves the thread at work: it closes what it has opened.
            self._thread.submit(self._close)
            self._thread.shutdown(wait=False)
            raise
        self._is_open = True
        if damage is not None:
            log.error(
                "state_damaged",
                path=str(self.path),
                unreadable_frames=damage.frames,
                intact_until=_stamp(loaded.newest),
                written_until=_stamp(damage.written_at),
                message="the end of the write-ahead log cannot be read: what was told in between "
                "is missing, so look whether all holds are there",
            )
        for row in loaded.unreadable:
            log.error(
                "state_row_ignored",
                path=str(self.path),
                table=row.table,
                vcenter=row.vcenter,
                session_id=row.session_id,
                reason=row.reason,
            )
        self._has_tokens = loaded.has_tokens
        if self._has_tokens and not self._persist_tokens:
            # On a full disk it is done later: that is no reason not to start.
            with suppress(StoreWriteError):
                await self._write(changes.SCRUB, keep=True)
            await self._purge()
            return without_tokens(loaded.stored)
        return loaded.stored

    async def run(self) -> None:
        """Write deadlines and progress from time to time, until cancelled."""
        while True:
            await sleep_until(self._clock, self._clock.boot() + FLUSH_SECONDS)
            await self._flush_piece_by_piece()
            await self._purge()
            # Also where there is nothing to write: the file may have been removed meanwhile.
            self._start_committing()
            await self._checkpoint()

    async def close(self) -> None:
        """Write what is left, and let the file go. Idempotent."""
        if not self._is_open:
            return
        try:
            self._flush()
            self._start_committing()
            await self._purge()
            while self._committing is not None:
                # Waited for, not awaited: whoever gives up closing does not give up the commit.
                await asyncio.wait([self._committing])
                await self._purge()
        finally:
            self._is_open = False
            if self._kept:
                log.error("state_lost", path=str(self.path), changes=len(self._kept))
            closing = self._thread.submit(self._close)
            self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))

    # -- what is written before the caller goes on

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Write a hold, and return once it is on disk. Raises StoreWriteError."""
        with_token = self._persist_tokens
        self._has_tokens |= with_token and hold.token is not None
        await self._write(
            changes.put_hold(key, hold, self._times(), with_token=with_token), keep=False
        )

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove a hold, and return once that is on disk.

        Raises StoreWriteError where that is not possible now; it is done as soon as it is.
        """
        await self._write(changes.delete_hold(key, uid, owner), keep=True)

    # -- what is written before long

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove a hold whose time is over."""
        self._enqueue(_Write(changes.delete_hold(key, uid, owner), keep=True))

    def note_session(self, session: Session) -> None:
        """Write within seconds how a session stands."""
        self._changed[session.key] = session

    def note_end(self, session: Session, ended_at: float) -> None:
        """Write how a session ended; its holds go with it."""
        self._changed.pop(session.key, None)
        self._enqueue(
            _Write(PutSession(session, ended_at, self._times()), keep=True),
            _Write(changes.delete_holds(session.key), keep=True),
        )

    def forget(self, key: SessionKey) -> None:
        """Remove what is known of a session."""
        self._changed.pop(key, None)
        self._enqueue(_Write(changes.delete_session(key), keep=True))

    # -- group commit

    async def _write(self, change: Change, *, keep: bool) -> None:
        if not self._is_open:
            raise StoreWriteError(errno.EBADF, "the state file is closed", str(self.path))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enqueue(_Write(change, keep, done))
        await done

    def _enqueue(self, *writes: _Write) -> None:
        if not self._is_open:
            return
        self._waiting += writes
        if self._waiting:
            self._start_committing()

    def _start_committing(self) -> None:
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting(), name="commit")

    async def _commit_waiting(self) -> None:
        """Commit what waits, all together, and then what came in the meantime."""
        try:
            await self._commit_next()
            while self._waiting:
                await self._commit_next()
        finally:
            self._committing = None

    async def _commit_next(self) -> None:
        # What could not be written earlier comes first: the file must not see an old change last.
        batch, self._waiting = self._waiting, []
        written: list[AnyChange] = [*self._kept.values(), *(write.change for write in batch)]
        failure: StoreWriteError | None = None
        left_out: tuple[Change | PutSession, ...] = ()
        try:
            left_out = await self._in_thread(partial(self._commit, written))
        except StoreWriteError as error:
            failure = error
        self._say(failure)
        if failure is not None and failure.errno == errno.ESTALE:
            # Before anybody is answered that nothing can be kept, so that the next one can.
            self._is_lost = not await self._in_thread(self._write_anew)
        if failure is None:
            self._has_log |= bool(written)
            self._has_news |= bool(written)
            self._kept = {}
            self._must_rewrite |= any(change is changes.SCRUB for change in written)
            self._must_purge |= self._must_rewrite or (
                self._has_tokens and any(change.is_about_holds for change in written)
            )
        else:
            kept = (write.change for write in batch if write.keep)
            self._kept = _last_of_each([*self._kept.values(), *kept])
        self._answer(batch, failure, left_out)

    def _answer(
        self,
        batch: Sequence[_Write],
        failure: StoreWriteError | None,
        left_out: tuple[Change | PutSession, ...],
    ) -> None:
        """Tell whoever waits for a write; where nobody does, the log hears of what is lost."""
        lost = {id(change): change for change in left_out}
        for write in batch:
            if write.done is None or write.done.done():
                continue
            own = commits.unwritable(self.path) if lost.pop(id(write.change), None) else failure
            if own is None:
                write.done.set_result(None)
            else:
                write.done.set_exception(own)
        for change in lost.values():
            if change.subject not in self._refused:
                self._refused.add(change.subject)
                row = " ".join(map(str, change.subject))
                reason = str(commits.unwritable(self.path))
                log.error("state_change_dropped", row=row, reason=reason)

    async def _flush_piece_by_piece(self) -> None:
        """Write what has changed until now, with time between for everybody else."""
        size = max(_PIECE, math.ceil(len(self._changed) / _PIECES))
        pieces = math.ceil(len(self._changed) / size)
        self._flush(size)
        for _ in range(pieces - 1):
            if self._committing is not None:
                await asyncio.wait([self._committing])
            if self._is_failing:
                # The rest stays together until the next attempt.
                return
            await sleep_until(self._clock, self._clock.boot() + _PAUSE_SECONDS)
            self._flush(size)

    def _flush(self, most: int | None = None) -> None:
        """Begin to write what has changed, the oldest changes of so many sessions at most."""
        changed = [self._changed.pop(key) for key in tuple(itertools.islice(self._changed, most))]
        if changed:
            self._enqueue(_Write(PutSessions(tuple(changed), self._times()), keep=True))
        if self._kept:
            self._start_committing()

    async def _purge(self) -> None:
        """Empty the log of deleted tokens, and rewrite the file if all of them had to go."""
        if not self._must_purge:
            return
        # Set back first: more may be deleted while this is done.
        rewrite, self._must_purge, self._must_rewrite = self._must_rewrite, False, False
        try:
            await self._in_thread(partial(self._empty_log, rewrite=rewrite))
        except StoreWriteError as error:
            self._must_purge, self._must_rewrite = True, self._must_rewrite or rewrite
            if not self._is_unpurged:
                log.error("state_not_purged", path=str(self.path), reason=str(error))
            self._is_unpurged = True
        else:
            self._is_unpurged = False

    async def _checkpoint(self) -> None:
        """Move what stands in the log into the file, once nothing is written or much was."""
        now = self._clock.boot()
        is_idle, self._has_news = not self._has_news, False
        if self._has_log and (is_idle or now - self._checkpointed_at >= _CHECKPOINT_SECONDS):
            self._has_log, self._checkpointed_at = False, now
            with suppress(StoreWriteError):
                await self._in_thread(partial(self._empty_log, rewrite=False))

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

    def _open(self) -> tuple[Damage | None, Loaded]:
        refuse_odd_files(self.path)
        self._place = Place(self.path, lock(self.path))
        try:
            damage = damage_of(self.path.with_name(f"{self.path.name}-wal"))
            self._database = self._place.open()
            return damage, load(self._database, self._times())
        except sqlite3.Error as error:
            self._close()
            raise StoreError(f"{self.path}: {error}; restore it from a copy") from None
        except BaseException:
            self._close()
            raise

    def _commit(self, batch: Sequence[AnyChange]) -> tuple[Change | PutSession, ...]:
        """Write changes into the file that the path names. Raises StoreWriteError."""
        if self._is_lost and self._write_anew():
            self._is_lost = False
        self._check_place(written=False)
        left_out = self._write_with(lambda database: commits.commit(database, batch))
        self._check_place(written=bool(batch))
        return left_out

    def _check_place(self, *, written: bool) -> None:
        assert self._place is not None  # noqa: S101 - opened before anything is written
        lost = self._place.lost(written=written)
        if lost:
            raise StoreWriteError(errno.ESTALE, lost, str(self.path))

    def _write_anew(self) -> bool:
        """Write everything to the path once more, and return whether that went well."""
        assert self._place is not None  # noqa: S101 - opened before anything is written
        try:
            if self._database is None:
                self._database = self._place.open()
            else:
                database, self._database = self._database, None
                try:
                    self._database = self._place.write_anew(database)
                finally:
                    if self._database is None and _is_open(database):
                        self._database = database
        except (OSError, StoreError, sqlite3.Error):
            return False
        return True

    def _empty_log(self, *, rewrite: bool) -> None:
        self._check_place(written=False)
        self._write_with(lambda database: commits.purge(database, rewrite=rewrite))

    def _write_with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None:
            raise StoreWriteError(errno.ESTALE, "it cannot be opened again", str(self.path))
        try:
            return work(self._database)
        except Exception as error:
            failure = commits.write_error(self.path, error)
        finally:
            if self._place is not None:
                self._place.note_contents()
        # Raised out here, where nothing that repeats a value hangs on it.
        raise failure

    def _close(self) -> None:
        try:
            if self._database is not None:
                self._database.close()
        finally:
            self._database = None
            if self._place is not None:
                os.close(self._place.lock)
            self._place = None


def _is_open(database: sqlite3.Connection) -> bool:
    try:
        database.execute("PRAGMA user_version").fetchone()
    except sqlite3.ProgrammingError:
        return False
    except sqlite3.Error:
        return True
    return True


def _stamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _last_of_each(changed: Iterable[AnyChange]) -> dict[tuple[Value, ...], Change | PutSession]:
    """Return the last change of each subject, in their order: a disk may fail for days."""
    last: dict[tuple[Value, ...], Change | PutSession] = {}
    for change in itertools.chain.from_iterable(map(single, changed)):
        last.pop(change.subject, None)
        last[change.subject] = change
    return last
