"""Converts sessions and holds to replies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from keepalived.control.replies import FileReply, HoldReply, OutcomeReply, SessionReply
from keepalived.host.clock import Clock
from keepalived.lease.answers import FileInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.session import Session

_LATEST = datetime.max.replace(tzinfo=UTC).timestamp() - 1
_MILLISECONDS = 3


def label(owner: Owner) -> str:
    """Return an owner's name in replies and queries."""
    if owner.kind is OwnerKind.PROCESS:
        pid, _, _ = owner.id.partition(":")
        return f"pid:{pid}"
    if owner.kind is OwnerKind.DISCOVERY:
        return owner.kind.value
    return f"{owner.kind}:{owner.id}" if owner.id else owner.kind.value


def is_called(owner: Owner, selector: str) -> bool:
    """Whether a selector matches this owner, by its label or by its kind alone."""
    own = label(owner)
    return selector in (own, own.partition(":")[0])


def wall_time(seconds: float) -> datetime:
    """Convert a time, in seconds since the epoch, to a date that JSON can represent."""
    return datetime.fromtimestamp(round(max(0.0, min(seconds, _LATEST)), _MILLISECONDS), UTC)


class View:
    """Builds replies for one moment and one user, and converts boot-time seconds to dates."""

    def __init__(self, clock: Clock, sees_holds_of: int | None) -> None:
        """Show the holds of one user, or of all users for None."""
        self._now = clock.boot()
        self._offset = clock.wall() - self._now
        self._uid = sees_holds_of

    def session(self, session: Session) -> SessionReply:
        """Return a session as this caller may see it."""
        is_final = session.state.is_final
        ending = session.ending if is_final else None
        still = None if is_final else session.still_since
        deadline, slack = session.deadline, session.slack(self._now)
        transferred, total = sizes_of(session.files)
        return SessionReply(
            vcenter=session.key.vcenter,
            kind=session.key.kind,
            id=session.key.id,
            state=session.state,
            since=wall_time(self._offset + session.since),
            deadline=None if deadline is None else wall_time(self._offset + deadline),
            slack=None if slack is None else round(slack, _MILLISECONDS),
            lifetime=session.lifetime,
            next_attempt=None if is_final else wall_time(self._offset + session.due),
            keep_alives=session.renewals,
            failures=session.tries,
            last_error=session.last_error,
            progress=session.acknowledged,
            bytes_transferred=transferred,
            bytes_total=total,
            files=tuple(
                FileReply(**{name: getattr(file, name) for name in FileReply.defaults})
                for file in session.files
            ),
            stalled=None if still is None else round(self._now - still, _MILLISECONDS),
            library=session.item.library if session.item else None,
            item=session.item.name if session.item else None,
            reason=ending.reason if ending else None,
            error_message=ending.error_message if ending else None,
            content_moved=ending.content_moved if ending else None,
            holds=tuple(
                self.hold(hold)
                for hold in session.holds
                if self._uid is None or hold.uid == self._uid
            ),
            outcomes=tuple(
                OutcomeReply(at=wall_time(self._offset + at), outcome=outcome)
                for at, outcome in session.outcomes
            ),
        )

    def hold(self, hold: Hold) -> HoldReply:
        """Return one hold."""
        return HoldReply(
            uid=hold.uid,
            owner=label(hold.owner),
            since=wall_time(self._offset + hold.since),
            until=None if hold.until is None else wall_time(self._offset + hold.until),
            progress=hold.progress.client_progress,
            bytes_done=hold.progress.done,
            bytes_total=hold.progress.total,
            note=hold.note,
            token=None if hold.token is None else "refused" if hold.token.refused else "lent",
        )


def sizes_of(files: Sequence[FileInfo]) -> tuple[int | None, int | None]:
    """Return the files' bytes on the server, and their total size if all sizes are known."""
    sizes = [file.size for file in files if file.size is not None]
    if not files:
        return None, None
    total = sum(sizes) if len(sizes) == len(files) else None
    return sum(file.bytes_transferred for file in files), total
