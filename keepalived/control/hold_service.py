"""Takes holds: checks limits, watches owners, saves the hold, and undoes it on failure."""

from __future__ import annotations

import errno
import logging

import structlog

from keepalived.control.callers import Caller
from keepalived.control.hold_index import HolderKey, HoldIndex, size_of
from keepalived.control.limits import Limits
from keepalived.control.owners import Owners
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.views import label
from keepalived.host.clock import Clock
from keepalived.keeper.registry import Registry, UnknownVCenterError
from keepalived.lease import session as core
from keepalived.lease.holds import Hold, OwnerKind
from keepalived.lease.model import SessionKey, State

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

log = structlog.get_logger("clkeepalived")


class HoldService:
    """Takes and updates holds for callers of the control socket."""

    def __init__(
        self, registry: Registry, index: HoldIndex, owners: Owners, limits: Limits, clock: Clock
    ) -> None:
        self._registry = registry
        self._index = index
        self._owners = owners
        self._limits = limits
        self._clock = clock

    def _check(self, caller: Caller, key: SessionKey, hold: Hold, before: Hold | None) -> None:
        """Raise ProblemError if `hold`, replacing `before`, would exceed a limit."""
        limits, index, uid = self._limits, self._index, caller.uid
        if before is None:
            self._check_counts(caller, key)
        more = size_of(hold) - (0 if before is None else size_of(before))
        if more <= 0:
            return
        if index.usage().bytes + more > limits.hold_bytes:
            raise ProblemError(
                ProblemType.FULL,
                f"all notes and tokens together may have at most {limits.hold_bytes} bytes; "
                "release some holds, or leave the note out",
            )
        if not caller.is_admin and index.usage(uid).bytes + more > limits.hold_bytes_per_uid:
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"the notes and tokens of user {uid} may have at most {limits.hold_bytes_per_uid} "
                "bytes; release some holds, or leave the note out",
            )

    async def take(self, caller: Caller, key: SessionKey, hold: Hold, before: Hold | None) -> bool:
        """Take a hold, replacing `before` if there is one.

        Returns whether the hold is new, once it is on disk. A hold that cannot be saved, or whose
        process has ended, is undone completely. Raises ProblemError, also if it exceeds a limit.
        """
        self._check(caller, key, hold, before)
        holder = HolderKey(hold.uid, hold.owner)
        is_process = hold.owner.kind is OwnerKind.PROCESS
        if is_process:
            self._owners.watch(key, holder, is_admin=caller.is_admin)
        try:
            is_new = await self._registry.take(key, hold)
        except BaseException as error:
            if not self._registry.is_held(key, *holder):
                self._owners.forget(key, holder)
            if isinstance(error, UnknownVCenterError):  # a reload has just removed it
                message = f"no vCenter {key.vcenter} is configured"
                raise ProblemError(ProblemType.NO_SUCH_VCENTER, message) from error
            if isinstance(error, OSError):
                raise _not_saved(error) from error
            raise
        session = self._registry.find(key)
        state = State.RELEASED if session is None else session.state
        has_ended = state.is_final and state is not State.RELEASED  # the hold ended with it
        if is_process and not has_ended and not self._owners.is_watched(holder):
            await self._registry.release_durably(key, *holder)
            raise ProblemError(ProblemType.NOT_YOUR_PROCESS, f"{label(hold.owner)} has just ended")
        if before is not None and before.owner != hold.owner:
            # Only the time limit changes. A user has at most one hold with a time limit.
            await self._registry.release_durably(key, before.uid, before.owner)
        if hold.token is not None and (before is None or before.token != hold.token):
            # The API session of the new token may be about to expire.
            self.renew_soon(key)
        is_new = is_new and before is None
        caller.log(
            "hold_taken_by" if is_new else "hold_updated_by",
            key,
            # Some uploads report progress every second.
            level=logging.INFO if is_new else logging.DEBUG,
            owner=label(hold.owner),
            holder=hold.uid,
            note=hold.note,
        )
        return is_new

    def renew_soon(self, key: SessionKey) -> None:
        """Ask the keeper to renew a session as soon as possible, unless it has ended."""
        session = self._registry.find(key)
        if session is not None and not session.state.is_final:
            self._registry.commit(core.make_due(session, self._clock.boot()), ())

    def _check_counts(self, caller: Caller, key: SessionKey) -> None:
        limits, index, session = self._limits, self._index, self._registry.find(key)
        if session is None and len(self._registry) >= limits.sessions:
            raise ProblemError(
                ProblemType.FULL,
                f"{limits.sessions} sessions are known, which is the limit; release some, or wait "
                "until ended sessions are forgotten",
            )
        holds = () if session is None else session.holds
        if len(holds) >= limits.holds_per_session_in_all:
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"this session has {len(holds)} holds, which is the limit; they keep it alive",
            )
        if index.usage().holds >= limits.holds:
            raise ProblemError(
                ProblemType.FULL,
                f"all users have {limits.holds} holds, which is the limit; release some",
            )
        if caller.is_admin:
            return
        uid = caller.uid
        if sum(hold.uid == uid for hold in holds) >= limits.holds_per_session:
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"user {uid} has {limits.holds_per_session} holds on this session, which is the "
                "limit; release some",
            )
        if index.usage(uid).holds >= limits.holds_per_uid:
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"user {uid} has {limits.holds_per_uid} holds, which is the limit; release some",
            )
        own = len(index.sessions_of(uid))
        if own >= limits.sessions_per_uid and not index.sees(uid, key):
            raise ProblemError(
                ProblemType.TOO_MANY,
                f"user {uid} has {own} sessions, which is the limit; release some, or wait until "
                "ended sessions are forgotten",
            )


def _not_saved(error: OSError) -> ProblemError:
    """Return the problem for a hold that could not be saved."""
    if error.errno in _NO_SPACE:
        return ProblemError(
            ProblemType.FULL,
            "the hold could not be saved, because the disk is full: free space where state.path "
            "is, and try again; existing holds are still renewed",
        )
    log.error("hold_not_recorded", reason=str(error))
    return ProblemError(
        ProblemType.UNAVAILABLE,
        "the hold could not be saved; `hold_not_recorded` in the daemon's log says why",
    )
