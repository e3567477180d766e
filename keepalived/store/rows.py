"""Between the core's words and rows of tables.

Times are written twice: as boot time, which is exact for as long as the machine stays up whatever
happens to its wall clock, and as wall time, which is what is left after a reboot.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from keepalived.host.clock import Clock
from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending, Target
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import Progress
from keepalived.lease.session import Session

Value = str | float | int | None
Statement = tuple[str, tuple[Value, ...]]

PUT_HOLD = f"INSERT OR REPLACE INTO hold VALUES ({','.join('?' * 15)})"  # noqa: S608 - no values
DELETE_HOLD = (
    "DELETE FROM hold WHERE vcenter=? AND kind=? AND id=? AND uid=? AND owner_kind=? AND owner_id=?"
)
DELETE_HOLDS = "DELETE FROM hold WHERE vcenter=? AND kind=? AND id=?"
PUT_SESSION = f"INSERT OR REPLACE INTO session VALUES ({','.join('?' * 23)})"  # noqa: S608 - likewise
DELETE_SESSION = "DELETE FROM session WHERE vcenter=? AND kind=? AND id=?"


@dataclass(frozen=True, slots=True)
class Times:
    """Turns this boot's times into both forms, and either form back into this boot's times."""

    boot_id: str
    wall_of_boot: float
    """Wall time minus boot time, now."""

    @classmethod
    def now(cls, clock: Clock, boot_id: str) -> Times:
        """Return the conversion that is right at present."""
        return cls(boot_id, clock.wall() - clock.boot())

    def both(self, boot: float | None) -> tuple[float | None, float | None]:
        """Return a time as boot time and as wall time."""
        return boot, None if boot is None else boot + self.wall_of_boot

    def read(self, boot_id: str, boot: float | None, wall: float | None) -> float | None:
        """Return a stored time as a time of this boot."""
        if boot_id == self.boot_id or wall is None:
            return boot
        return wall - self.wall_of_boot


def hold_row(key: SessionKey, hold: Hold, times: Times) -> tuple[Value, ...]:
    """Return the row of a hold."""
    progress = hold.progress
    return (
        *(key.vcenter, key.kind.value, key.id),
        *(hold.uid, hold.owner.kind.value, hold.owner.id, times.boot_id),
        *times.both(hold.since),
        *times.both(hold.until),
        *(progress.percent, progress.done, progress.total, hold.note),
    )


def party_of(key: SessionKey, uid: int, owner: Owner) -> tuple[Value, ...]:
    """Return what identifies the row of a hold."""
    return key.vcenter, key.kind.value, key.id, uid, owner.kind.value, owner.id


def id_of(key: SessionKey) -> tuple[Value, ...]:
    """Return what identifies the row of a session."""
    return key.vcenter, key.kind.value, key.id


def session_row(session: Session, ended_at: float | None, times: Times) -> tuple[Value, ...]:
    """Return the row of a session, with how it ended if it has."""
    key, target, item = session.key, session.target, session.item
    ending = session.ending if ended_at is not None else None
    moved = None if ending is None or ending.content_moved is None else int(ending.content_moved)
    return (
        *(key.vcenter, key.kind.value, key.id, times.boot_id),
        *times.both(session.since),
        *times.both(session.renewed_at),
        *(session.configured_lifetime, session.lifetime, session.renewals, session.acknowledged),
        *(target.item_id if target else None, target.content_version if target else None),
        *((item.name, item.content_version, item.library) if item else (None, None, None)),
        *times.both(ended_at),
        *(ending.state.value if ending else None, ending.reason if ending else None),
        *(ending.error_message if ending else None, moved),
    )


def read_hold(row: sqlite3.Row, times: Times) -> tuple[SessionKey, Hold]:
    """Return the hold of a row, and whose it is."""
    since = times.read(row["boot_id"], row["since_boot"], row["since_wall"]) or 0.0
    hold = Hold(
        uid=row["uid"],
        owner=Owner(OwnerKind(row["owner_kind"]), row["owner_id"]),
        since=since,
        until=times.read(row["boot_id"], row["until_boot"], row["until_wall"]),
        progress=Progress(row["percent"], row["done"], row["total"]),
        note=row["note"],
    )
    return _key(row), hold


def read_session(row: sqlite3.Row, times: Times) -> tuple[Session, float | None]:
    """Return the session of a row without its holds, and when it ended if it has."""
    boot_id = row["boot_id"]
    renewed_at = times.read(boot_id, row["renewed_boot"], row["renewed_wall"])
    item_id, name = row["item_id"], row["item_name"]
    target = None if item_id is None else Target(item_id, row["content_version"])
    item = None
    if name is not None:
        item = ItemInfo(item_id or "", name, row["item_version"], row["library"])
    moved = row["content_moved"]
    ending = None
    if row["state"] is not None:
        ending = Ending(
            State(row["state"]),
            row["reason"],
            row["error_message"],
            None if moved is None else bool(moved),
        )
    session = Session(
        key=_key(row),
        configured_lifetime=row["configured_lifetime"],
        lifetime=row["lifetime"],
        since=times.read(boot_id, row["since_boot"], row["since_wall"]) or 0.0,
        due=0.0,
        state=ending.state if ending else State.ACTIVE if renewed_at else State.PENDING,
        renewed_at=renewed_at,
        renewals=row["renewals"],
        acknowledged=row["acknowledged"],
        target=target,
        item=item,
        ending=ending,
    )
    return session, times.read(boot_id, row["ended_boot"], row["ended_wall"])


def _key(row: sqlite3.Row) -> SessionKey:
    return SessionKey(row["vcenter"], Kind(row["kind"]), row["id"])
