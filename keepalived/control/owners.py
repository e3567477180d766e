"""The owners of holds: processes that end, and connections that may come back."""

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

Place = tuple[SessionKey, HolderKey]
"""One hold: each party has at most one in a session."""

_INSTEAD = "use a ttl or a connection as the owner instead"


def process_owner(caller: Caller, pid: int) -> Owner:
    """Return the owner for a hold that lives as long as the process `pid`.

    Raises ProblemError unless the process belongs to the caller (admins may name any) and has the
    same number in the caller's PID namespace as in ours.
    """
    try:
        is_elsewhere = caller.pid == 0 or processes.is_in_inner_namespace(caller.pid)
    except NoSuchProcessError:
        raise _unusable(
            f"process {caller.pid}, which opened this connection, cannot be seen from here, "
            "so that there is no telling whether it numbers processes as this daemon does; "
            f"{_INSTEAD}"
        ) from None
    if is_elsewhere:
        raise _unusable(
            "this connection comes from another PID namespace (a container, for example), where "
            f"process {pid} is another one than here; let both share one PID namespace "
            f"(shareProcessNamespace in a pod, --pid=host for a container), or {_INSTEAD}"
        )
    try:
        named = processes.process(pid)
        if not caller.is_admin and processes.owner_uid(pid) != caller.uid:
            # The same words as for a missing process: whose processes run is not disclosed.
            raise NoSuchProcessError(pid)
    except NoSuchProcessError:
        raise _unusable(
            f"there is no process {pid} of yours here: it has ended, or it belongs to another "
            f"user, or it is hidden from the daemon; name one that you own, or {_INSTEAD}"
        ) from None
    return Owner(OwnerKind.PROCESS, str(named))


def _process_of(party: HolderKey) -> Process | None:
    """Return the process that owns a party's hold; None if it has another owner."""
    if party.owner.kind is not OwnerKind.PROCESS:
        return None
    try:
        return Process.parse(party.owner.id)
    except ValueError:
        return None


def _unusable(detail: str) -> ProblemError:
    return ProblemError(ProblemType.NOT_YOUR_PROCESS, detail)


class Owners:
    """Releases holds whose owner has gone: a process that ended, or a connection from before a
    restart that does not come back."""

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
        self._wards: dict[Process, dict[int, set[SessionKey]]] = {}
        self._missed: dict[Place, float] = {}
        self._waiting: asyncio.Task[None] | None = None

    def watch(self, key: SessionKey, party: HolderKey, *, is_admin: bool) -> None:
        """Tie a hold that is about to be taken to the life of its process.

        Raises ProblemError if the process has ended or cannot be watched.
        """
        process = Process.parse(party.owner.id)
        users = self._wards.get(process, {})
        own = sum(party.uid in others for others in self._wards.values())
        if party.uid not in users and not is_admin and own >= self._limits.processes_per_uid:
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"{own} processes of user {party.uid} are watched, which is the limit; let holds "
                f"go, or {_INSTEAD}",
            )
        try:
            self._enter(key, party, process)
        except NoSuchProcessError:
            raise _unusable(f"process {process.pid} has just ended") from None
        except CannotWatchError as error:
            raise ProblemError(
                ProblemType.UNAVAILABLE, f"cannot watch process {process.pid}: {error}; {_INSTEAD}"
            ) from error

    def is_watched(self, party: HolderKey) -> bool:
        """Whether a party's process still runs, as far as is known."""
        return _process_of(party) in self._watcher

    def forget(self, key: SessionKey, party: HolderKey) -> None:
        """Stop watching for a hold that is gone. Other holds of the process stay watched."""
        self._missed.pop((key, party), None)
        process = _process_of(party)
        if process is None or process not in self._wards:
            return
        users = self._wards[process]
        users.get(party.uid, set()).discard(key)
        if not users.get(party.uid):
            users.pop(party.uid, None)
        if not users:
            del self._wards[process]
            self._watcher.forget(process, self._ended)

    async def restore(self) -> None:
        """Watch the owners of the holds from before the daemon started.

        A process that ended meanwhile has its holds released. A connection has one lifetime of the
        session to come back. Time limits need no watch.
        """
        gone: list[Place] = []
        now = self._clock.boot()
        for session in tuple(self._registry):
            for hold in session.holds:
                place = (session.key, HolderKey(hold.uid, hold.owner))
                if hold.owner.kind is OwnerKind.CONNECTION:
                    self._missed[place] = now + session.lifetime
                elif hold.owner.kind is OwnerKind.PROCESS and not self._takes_up(*place):
                    gone.append(place)
        await self.release_all(gone, "its process ended while the daemon was not running")
        if self._missed:
            self._waiting = asyncio.create_task(self._wait_for_missed(), name="missed connections")

    def came_back(self, key: SessionKey, party: HolderKey) -> None:
        """Note that a connection has taken its hold up again."""
        self._missed.pop((key, party), None)

    def stop(self) -> None:
        """Stop watching processes and waiting for connections."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait_for_missed(self) -> None:
        while self._missed:
            await sleep_until(self._clock, min(self._missed.values()))
            now = self._clock.boot() + DUE_TOLERANCE
            late = [place for place, limit in self._missed.items() if limit <= now]
            for place in late:
                del self._missed[place]
            work = self.release_all(late, "its connection did not come back")
            self._background.spawn_unwatched(work, "let go of what lost connections held")

    def _takes_up(self, key: SessionKey, party: HolderKey) -> bool:
        process = _process_of(party)
        if process is None:
            return False
        try:
            self._enter(key, party, process)
        except NoSuchProcessError:
            return False
        except CannotWatchError as error:
            # Kept without a watch rather than lost; its max_lifetime ends it.
            log.error("process_not_watched", uid=party.uid, owner=party.owner.id, reason=str(error))
        return True

    def _enter(self, key: SessionKey, party: HolderKey, process: Process) -> None:
        self._watcher.watch(process, self._ended)
        self._wards.setdefault(process, {}).setdefault(party.uid, set()).add(key)

    def _ended(self, process: Process) -> None:
        owner = Owner(OwnerKind.PROCESS, str(process))
        users = self._wards.pop(process, {})
        gone = [(key, HolderKey(uid, owner)) for uid, keys in users.items() for key in keys]
        work = self.release_all(gone, "its process ended")
        self._background.spawn_unwatched(work, f"let go what process {process.pid} held")

    async def release_all(self, gone: Collection[Place], reason: str) -> None:
        """Release holds whose owners have gone, and log the reason."""
        for key, party in gone:
            log.info(
                "owner_ended",
                vcenter=key.vcenter,
                session_id=key.id,
                kind=key.kind.value,
                holder=party.uid,
                owner=label(party.owner),
                reason=reason,
            )
        # All at once, so that they share one write to disk.
        await asyncio.gather(*(self._registry.release_durably(key, *party) for key, party in gone))
