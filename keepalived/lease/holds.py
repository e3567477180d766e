"""Holds: who wants a session kept alive, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from keepalived.lease.progress import UNKNOWN, Progress, highest

DEFAULT_MAX_LIFETIME = 7 * 86400.0
DEFAULT_MAX_LIFETIME_WITHOUT_OWNER = 86400.0


class OwnerKind(StrEnum):
    """What a hold lives and dies with."""

    FILE = "file"
    PROCESS = "process"
    CONNECTION = "connection"
    TIME_LIMIT = "ttl"
    COMMAND = "command"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Owner:
    """What a hold lives and dies with; `id` tells owners of one kind apart."""

    kind: OwnerKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """One party's wish that a session stay alive.

    A session has at most one hold per (uid, owner). `since` and `until` are seconds on the
    boot-time clock; a hold with `until` None lasts until it is let go.
    """

    uid: int
    owner: Owner
    since: float
    until: float | None
    progress: Progress = UNKNOWN
    note: str = ""

    def is_by(self, uid: int, owner: Owner) -> bool:
        """Whether this is the hold of that user and owner."""
        return self.uid == uid and self.owner == owner


Holds = tuple[Hold, ...]


def latest_until(owner: OwnerKind, since: float, max_lifetime: float | None = None) -> float:
    """Return when a hold ends at the latest: the guard against what is never let go."""
    if max_lifetime is None:
        max_lifetime = (
            DEFAULT_MAX_LIFETIME_WITHOUT_OWNER if owner is OwnerKind.NONE else DEFAULT_MAX_LIFETIME
        )
    return since + max_lifetime


def taken(holds: Holds, hold: Hold) -> Holds:
    """Return `holds` with `hold` added, or put in the place of the same party's earlier one."""
    for place, held in enumerate(holds):
        if held.is_by(hold.uid, hold.owner):
            return (*holds[:place], replace(hold, since=held.since), *holds[place + 1 :])
    return (*holds, hold)


def let_go(holds: Holds, uid: int, owner: Owner) -> Holds:
    """Return `holds` without the one of that party."""
    return tuple(hold for hold in holds if not hold.is_by(uid, owner))


def unexpired(holds: Holds, now: float) -> Holds:
    """Return the holds whose time is not over."""
    return tuple(hold for hold in holds if hold.until is None or hold.until > now)


def client_progress(holds: Holds) -> int | None:
    """Return the furthest progress that any party knows of, in percent."""
    furthest = None
    for hold in holds:
        furthest = highest(furthest, hold.progress.client_progress)
    return furthest
