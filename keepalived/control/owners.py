"""Watches the owners of holds, and releases the holds of owners that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from keepalived.control.background_tasks import BackgroundTasks
from keepalived.control.callers import Caller
from keepalived.control.hold_index import HolderKey
from keepalived.control.limits import Limits
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.views import label
from keepalived.host import processes
from keepalived.host.clock import Clock, sleep_until
from keepalived.host.processes import CannotWatchError, NoSuchProcessError, Process, ProcessWatcher
from keepalived.keeper.registry import Registry
from keepalived.lease.holds import Owner, OwnerKind
from keepalived.lease.model import SessionKey
from keepalived.lease.timing import DUE_TOLERANCE

log = structlog.get_logger("clkeepalived")

HoldRef = tuple[SessionKey, HolderKey]
"""Identifies a hold of a session."""

_INSTEAD = "use a ttl or a connection as the owner instead"


def process_owner(caller: Caller, pid: int) -> Owner:
    """Return the owner for a hold that lives as long as the process `pid`.

    Raises ProblemError unless the process belongs to the caller (admins may name any process) and
    has the same pid in the caller's PID namespace as in the daemon's.
    """
    try:
        is_elsewhere = caller.pid == 0 or processes.is_in_inner_namespace(caller.pid)
    except NoSuchProcessError:
        raise _unusable(
            f"process {caller.pid}, which opened this connection, is not visible to the daemon, so "
            f"its PID namespace is not known; {_INSTEAD}"
        ) from None
    if is_elsewhere:
        raise _unusable(
            "this connection comes from another PID namespace (a container, for example), where "
            f"{pid} is a different process; share one PID namespace (shareProcessNamespace in a "
            f"pod, --pid=host for a container), or {_INSTEAD}"
        )
    try:
        process = processes.process(pid)
        if not caller.is_admin and processes.owner_uid(pid) != caller.uid:
            # The same error as for a missing process does not disclose other users' processes.
            raise NoSuchProcessError(pid)
    except NoSuchProcessError:
        raise _unusable(
            f"process {pid} has ended, belongs to another user, or is hidden from the daemon; name "
            f"a process of your own, or {_INSTEAD}"
        ) from None
    return Owner(OwnerKind.PROCESS, str(process))


def _process_of(holder: HolderKey) -> Process | None:
    """Return the process that owns a hold; None if it has another kind of owner."""
    if holder.owner.kind is not OwnerKind.PROCESS:
        return None
    try:
        return Process.parse(holder.owner.id)
    except ValueError:
        return None


def _unusable(detail: str) -> ProblemError:
    return ProblemError(ProblemType.NOT_YOUR_PROCESS, detail)


class Owners:
    """Releases the holds of owners that are gone: processes that ended, and connections that are
    not restored after a restart."""

    def __init__(
        self,
        registry: Registry,
        watcher: ProcessWatcher,
        clock: Clock,
        limits: Limits,
        background: BackgroundTasks,
    ) -> None:
        self._registry = registry
        self._watcher = watcher
        self._clock = clock
        self._limits = limits
        self._background = background
        self._watched: dict[Process, dict[int, set[SessionKey]]] = {}
        self._missed: dict[HoldRef, float] = {}
        self._waiting: asyncio.Task[None] | None = None

    def watch(self, key: SessionKey, holder: HolderKey, *, is_admin: bool) -> None:
        """Watch the process of a hold that is about to be taken.

        Raises ProblemError if the process has ended or cannot be watched.
        """
        process = Process.parse(holder.owner.id)
        users = self._watched.get(process, {})
        own = sum(holder.uid in uids for uids in self._watched.values())
        if holder.uid not in users and not is_admin and own >= self._limits.processes_per_uid:
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"{own} processes of user {holder.uid} are watched, which is the limit; release "
                f"holds, or {_INSTEAD}",
            )
        try:
            self._watch_process(key, holder, process)
        except NoSuchProcessError:
            raise _unusable(f"process {process.pid} has just ended") from None
        except CannotWatchError as error:
            raise ProblemError(
                ProblemType.UNAVAILABLE, f"cannot watch process {process.pid}: {error}; {_INSTEAD}"
            ) from error

    def is_watched(self, holder: HolderKey) -> bool:
        """Whether the process that owns a hold is still running, as far as is known."""
        return _process_of(holder) in self._watcher

    def forget(self, key: SessionKey, holder: HolderKey) -> None:
        """Stop watching the owner of a hold that is gone, unless the process owns other holds."""
        self._missed.pop((key, holder), None)
        process = _process_of(holder)
        if process is None or process not in self._watched:
            return
        users = self._watched[process]
        users.get(holder.uid, set()).discard(key)
        if not users.get(holder.uid):
            users.pop(holder.uid, None)
        if not users:
            del self._watched[process]
            self._watcher.forget(process, self._ended)

    async def restore(self) -> None:
        """Watch the owners of the holds from before a restart.

        The holds of processes that ended meanwhile are released. A connection can be restored
        within one lifetime of the session. Time limits are not watched.
        """
        gone: list[HoldRef] = []
        now = self._clock.boot()
        for session in tuple(self._registry):
            for hold in session.holds:
                reference = (session.key, HolderKey(hold.uid, hold.owner))
                if hold.owner.kind is OwnerKind.CONNECTION:
                    self._missed[reference] = now + session.lifetime
                elif hold.owner.kind is OwnerKind.PROCESS and not self._rewatch(*reference):
                    gone.append(reference)
        await self.release_all(gone, "its process ended while the daemon was not running")
        if self._missed:
            self._waiting = asyncio.create_task(self._wait_for_missed(), name="missed connections")

    def reconnected(self, key: SessionKey, holder: HolderKey) -> None:
        """Record that a connection has taken its hold again."""
        self._missed.pop((key, holder), None)

    def stop(self) -> None:
        """Stop watching processes and waiting for connections."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait_for_missed(self) -> None:
        while self._missed:
            await sleep_until(self._clock, min(self._missed.values()))
            now = self._clock.boot() + DUE_TOLERANCE
            expired = [hold for hold, limit in self._missed.items() if limit <= now]
            for hold in expired:
                del self._missed[hold]
            work = self.release_all(expired, "its connection did not come back")
            self._background.spawn_unwatched(work, "release the holds of lost connections")

    def _rewatch(self, key: SessionKey, holder: HolderKey) -> bool:
        process = _process_of(holder)
        if process is None:
            return False
        try:
            self._watch_process(key, holder, process)
        except NoSuchProcessError:
            return False
        except CannotWatchError as error:
            # It is kept without a watch rather than lost. Its max_lifetime ends it.
            log.error(
                "process_not_watched", uid=holder.uid, owner=holder.owner.id, reason=str(error)
            )
        return True

    def _watch_process(self, key: SessionKey, holder: HolderKey, process: Process) -> None:
        self._watcher.watch(process, self._ended)
        self._watched.setdefault(process, {}).setdefault(holder.uid, set()).add(key)

    def _ended(self, process: Process) -> None:
        owner = Owner(OwnerKind.PROCESS, str(process))
        users = self._watched.pop(process, {})
        gone = [(key, HolderKey(uid, owner)) for uid, keys in users.items() for key in keys]
        work = self.release_all(gone, "its process ended")
        self._background.spawn_unwatched(work, f"release the holds of process {process.pid}")

    async def release_all(self, gone: Collection[HoldRef], reason: str) -> None:
        """Release holds whose owners are gone, and log the reason."""
        for key, holder in gone:
            log.info(
                "owner_ended",
                vcenter=key.vcenter,
                session_id=key.id,
                kind=key.kind.value,
                holder=holder.uid,
                owner=label(holder.owner),
                reason=reason,
            )
        # Concurrently, so that they share one write to disk.
        await asyncio.gather(
            *(self._registry.release_durably(key, *holder) for key, holder in gone)
        )
