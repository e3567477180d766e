"""The durable store of holds and sessions, with group commit in one thread."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import structlog

from keepalived.host.clock import Clock, sleep_until
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey
from keepalived.lease.session import Session
from keepalived.store.changes import SCRUB, Change, coalesce
from keepalived.store.errors import StoreWriteError
from keepalived.store.loading import Stored
from keepalived.store.mapper import Value
from keepalived.store.sqlite_file import StateFile
from keepalived.store.tables import HOLD, SESSION, HoldRow, SessionRow
from keepalived.store.times import Times

T = TypeVar("T")
log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0
"""How often deadlines and progress are written. Outdated ones only cause early renewals."""

_CHECKPOINT_SECONDS = 60.0
"""How long written data may stay only in the log while the store is never idle."""

_BATCH = 200
"""Sessions per transaction: it takes some ten milliseconds, during which holds wait, and renewals
compete with the thread for the interpreter's lock."""

_MAX_BATCHES = 25
"""The most transactions in a row; with more sessions, each becomes larger."""

_PAUSE_SECONDS = 0.1
"""The pause between two transactions."""


class Store:
    """Stores holds, deadlines and ends in the file at `path`.

    All calls of SQLite are made in one thread, in the order of the changes, so the file may lag
    behind the memory, but never contradicts it. All changes that wait are committed together.
    """

    def __init__(
        self, path: Path, clock: Clock, boot_id: str, *, persist_tokens: bool = True
    ) -> None:
        self.path = path
        self._file = StateFile(path)
        self._clock = clock
        self._boot_id = boot_id
        self._persist_tokens = persist_tokens
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._checkpointed_at = clock.boot()
        self._has_log = True
        self._has_changes = False
        self._is_open = False
        self._waiting: list[Change] = []
        self._kept: list[Change] = []
        self._committing: asyncio.Task[None] | None = None
        self._changed: dict[SessionKey, Session] = {}
        self._refused: set[tuple[Value, ...]] = set()
        self._is_failing = False
        self._has_tokens = False
        # The log of an earlier process may still contain deleted data.
        self._must_purge = True
        self._must_rewrite = False
        self._is_unpurged = False

    @property
    def persist_tokens(self) -> bool:
        """Whether lent tokens are stored. Setting it to False deletes the stored ones."""
        return self._persist_tokens

    @persist_tokens.setter
    def persist_tokens(self, wanted: bool) -> None:
        if self._persist_tokens and not wanted:
            self._enqueue(SCRUB)
        self._persist_tokens = wanted

    async def open(self) -> Stored:
        """Lock and open the file, and return its contents. Raises StoreError."""
        try:
            loaded = await self._in_thread(
                lambda: self._file.open(self._times(), with_tokens=self._persist_tokens)
            )
        except BaseException:
            # If the caller is cancelled, the thread continues, and then closes the file.
            self._thread.submit(self._file.close)
            self._thread.shutdown(wait=False)
            raise
        self._is_open = True
        path = str(self.path)
        if loaded.damage is not None:
            log.error(
                "state_damaged",
                path=path,
                unreadable_frames=loaded.damage.frames,
                intact_until=None if loaded.newest is None else _timestamp(loaded.newest),
                written_until=_timestamp(loaded.damage.written_at),
                message="the end of the write-ahead log cannot be read, so changes after "
                "intact_until are lost; check that all holds are present",
            )
        for row in loaded.unreadable:
            log.error("state_row_ignored", path=path, **row._asdict())
        self._has_tokens = loaded.has_tokens
        if self._has_tokens and not self._persist_tokens:
            # On a full disk this is done later, and the daemon starts.
            self._enqueue(SCRUB)
            await self._committed()
            await self._purge()
        return loaded.stored

    async def run(self) -> None:
        """Write deadlines and progress periodically, until cancelled."""
        while True:
            await sleep_until(self._clock, self._clock.boot() + FLUSH_SECONDS)
            await self._flush_in_batches()
            await self._purge()
            # Even without changes: this recreates a file that was removed.
            self._start_committing()
            await self._checkpoint()

    async def close(self) -> None:
        """Write the remaining changes, and close the file. Idempotent."""
        if not self._is_open:
            return
        try:
            self._flush()
            self._start_committing()
            await self._purge()
            while self._committing is not None:
                await self._committed()
                await self._purge()
        finally:
            self._is_open = False
            if self._kept:
                log.error("state_lost", path=str(self.path), changes=len(self._kept))
            closing = self._thread.submit(self._file.close)
            self._thread.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))

    # -- changes that the caller waits for

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Write a hold, and return once it is on disk. Raises StoreWriteError."""
        if not self._persist_tokens:
            hold = replace(hold, token=None)
        self._has_tokens |= hold.token is not None
        await self._write(Change(HOLD, _hold_key(key, hold.uid, hold.owner), HoldRow(key, hold)))

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Delete a hold, and return once that is on disk.

        Raises StoreWriteError if that is not possible now; it is retried later.
        """
        await self._write(Change(HOLD, _hold_key(key, uid, owner)))

    # -- changes in the background

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Delete an expired hold."""
        self._enqueue(Change(HOLD, _hold_key(key, uid, owner)))

    def note_session(self, session: Session) -> None:
        """Write the state of a session within seconds."""
        self._changed[session.key] = session

    def note_end(self, session: Session, ended_at: float) -> None:
        """Write how a session ended, and delete its holds."""
        self._changed.pop(session.key, None)
        self._enqueue(
            Change(SESSION, session.key, SessionRow(session, ended_at)), Change(HOLD, session.key)
        )

    def forget(self, key: SessionKey) -> None:
        """Delete the stored data of a session."""
        self._changed.pop(key, None)
        self._enqueue(Change(SESSION, key))

    # -- group commit

    async def _write(self, change: Change) -> None:
        if not self._is_open:
            raise StoreWriteError(errno.EBADF, "the state file is closed", str(self.path))
        change.done = asyncio.get_running_loop().create_future()
        self._enqueue(change)
        await change.done

    def _enqueue(self, *changes: Change) -> None:
        if self._is_open:
            self._waiting += changes
            self._start_committing()

    def _start_committing(self) -> None:
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_waiting(), name="commit")

    async def _commit_waiting(self) -> None:
        """Commit all waiting changes together, until none are waiting."""
        try:
            await self._commit_next()
            while self._waiting:
                await self._commit_next()
        finally:
            self._committing = None

    async def _committed(self) -> None:
        """Wait for the current commit, which continues even if the caller is cancelled."""
        if self._committing is not None:
            await asyncio.wait([self._committing])

    async def _commit_next(self) -> None:
        # Changes that failed earlier come first, so that they never overwrite newer ones.
        changes, self._waiting = [*self._kept, *self._waiting], []
        left_out: list[Change] = []
        failure: StoreWriteError | None = None
        try:
            left_out = await self._in_thread(partial(self._file.commit, changes, self._times()))
        except StoreWriteError as error:
            failure = error
        self._report(failure)
        if failure is None:
            self._has_log |= bool(changes)
            self._has_changes |= bool(changes)
            self._must_rewrite |= SCRUB in changes
            self._must_purge |= self._must_rewrite or (
                self._has_tokens and any(change.table is HOLD for change in changes)
            )
            self._kept = []
        else:
            self._kept = coalesce(change for change in changes if change.is_kept)
        for change in left_out:
            self._give_up(change)
        for change in changes:
            if change.done is not None:
                change.answer(failure)

    def _give_up(self, change: Change) -> None:
        """Report a change that can never be written: to its caller, or once per row in the log."""
        reason = "it contains a text or number that cannot be stored"
        error = StoreWriteError(errno.EINVAL, reason, str(self.path))
        if not change.answer(error) and change.subject not in self._refused:
            self._refused.add(change.subject)
            row = " ".join(map(str, change.subject))
            log.error("state_change_dropped", row=row, reason=str(error))

    async def _flush_in_batches(self) -> None:
        """Write the current changes in several transactions, with pauses for other work."""
        size = max(_BATCH, math.ceil(len(self._changed) / _MAX_BATCHES))
        batches = math.ceil(len(self._changed) / size)
        self._flush(size)
        for _ in range(batches - 1):
            await self._committed()
            if self._is_failing:
                # The rest waits for the next attempt.
                return
            await sleep_until(self._clock, self._clock.boot() + _PAUSE_SECONDS)
            self._flush(size)

    def _flush(self, most: int | None = None) -> None:
        """Enqueue the oldest changes, of at most `most` sessions."""
        keys = tuple(islice(self._changed, most))
        puts = (Change(SESSION, key, SessionRow(self._changed.pop(key))) for key in keys)
        if keys or self._kept:
            self._enqueue(*puts)

    async def _purge(self) -> None:
        """Purge deleted tokens from the log; rewrite the file if all tokens were deleted."""
        if not self._must_purge:
            return
        # Reset first: more tokens may be deleted during the purge.
        rewrite, self._must_purge, self._must_rewrite = self._must_rewrite, False, False
        try:
            await self._in_thread(partial(self._file.purge, rewrite=rewrite))
        except StoreWriteError as error:
            self._must_purge, self._must_rewrite = True, self._must_rewrite or rewrite
            if not self._is_unpurged:
                log.error("state_not_purged", path=str(self.path), reason=str(error))
            self._is_unpurged = True
        else:
            self._is_unpurged = False

    async def _checkpoint(self) -> None:
        """Move the log into the file when the store is idle, or after a minute."""
        now = self._clock.boot()
        is_idle, self._has_changes = not self._has_changes, False
        if self._has_log and (is_idle or now - self._checkpointed_at >= _CHECKPOINT_SECONDS):
            self._has_log, self._checkpointed_at = False, now
            with suppress(StoreWriteError):
                await self._in_thread(partial(self._file.purge, rewrite=False))

    def _report(self, failure: StoreWriteError | None) -> None:
        """Log the first failed write, and the first successful one after that."""
        if failure is not None and not self._is_failing:
            log.error("state_not_written", path=str(self.path), reason=str(failure))
        if failure is None and self._is_failing:
            log.info("state_written_again", path=str(self.path))
        self._is_failing = failure is not None

    def _times(self) -> Times:
        return Times(self._boot_id, self._clock.wall() - self._clock.boot())

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Cancelling the caller does not stop the thread.
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _hold_key(key: SessionKey, uid: int, owner: Owner) -> tuple[Value, ...]:
    return *key, uid, owner.kind, owner.id


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
