"""Create sessions in a given state, for tests of code that reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keepalived.keeper.session_table import SessionTable
from keepalived.keeper.snapshot import EngineView, Snapshot, VCenterView
from keepalived.lease.answers import FileInfo, ItemInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import SessionKey, State
from keepalived.lease.session import Session

LIFETIME = 300.0


@dataclass
class Still:
    """An engine whose state does not change."""

    state: Snapshot

    def engine_view(self) -> EngineView:
        return engine_view_of(self.state.now, self.state.sessions, self.state.vcenters)

    def snapshot(self) -> Snapshot:
        return self.state


def engine_view_of(
    now: float, sessions: Iterable[Session], vcenters: tuple[VCenterView, ...]
) -> EngineView:
    """Return an engine view with these sessions."""
    return EngineView(now, SessionTable(sessions), vcenters)


FILE_HOLD = Hold(0, Owner(OwnerKind.FILE, "/etc/clkeepalived/config.yaml"), 0.0, None)


def a_session(
    key: SessionKey,
    state: State = State.ACTIVE,
    *,
    deadline: float | None = None,
    due: float = 0.0,
    progress: int | None = None,
    transferred_bytes: int | None = None,
    library: str | None = None,
    item: str | None = None,
) -> Session:
    """Return a session with a lifetime of 300 s in the given state."""
    arrived = transferred_bytes
    return Session(
        key=key,
        configured_lifetime=LIFETIME,
        lifetime=LIFETIME,
        since=0.0,
        due=due,
        holds=() if state.is_final else (FILE_HOLD,),
        state=state,
        renewed_at=None if deadline is None else deadline - LIFETIME,
        acknowledged=progress,
        item=None if item is None else ItemInfo("item-id", item, "1", library),
        files=() if arrived is None else (FileInfo("disk", "PUSH", "TRANSFERRING", arrived),),
    )
