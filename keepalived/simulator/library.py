"""The simulated Content Library: its state and rules, without HTTP and asyncio."""

from __future__ import annotations

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.catalog import Catalog
from keepalived.simulator.content import DEFAULT_CONTENT_LIMIT
from keepalived.simulator.downloads import Downloads
from keepalived.simulator.ledger import Ledger
from keepalived.simulator.resources import Item, ServerSession
from keepalived.simulator.sessions import Clock, ServerSessions
from keepalived.simulator.transfers import Transfers


class ContentLibrary:
    """The libraries, items, sessions and transfers of one simulated vCenter.

    `clock` gives monotonic seconds, and is the only clock used. At most `content_limit` bytes of
    received content are kept for downloads.
    """

    def __init__(
        self,
        clock: Clock,
        behaviour: Behaviour | None = None,
        *,
        content_limit: int = DEFAULT_CONTENT_LIMIT,
        ledger: Ledger | None = None,
    ) -> None:
        self.behaviour = behaviour = behaviour or Behaviour()
        self.catalog = Catalog(clock)
        self.sessions = ServerSessions(self.catalog, clock, ledger or Ledger(0), behaviour)
        self.transfers = Transfers(self.sessions, behaviour, content_limit)
        self.downloads = Downloads(self.sessions, behaviour)

    def open_session(
        self,
        creator: str,
        *,
        kind: Kind = Kind.UPDATE,
        session_id: str | None = None,
        item: Item | None = None,
        item_name: str = "image.ova",
    ) -> ServerSession:
        """Open a session on the given item, or on a new item in a new library."""
        if item is None:
            library = self.catalog.create_library("library")
            item = self.catalog.create_item(library.id, item_name)
        return self.sessions.create(kind, item.id, creator, session_id=session_id)

    def delete_library(self, library_id: str) -> None:
        """Remove a library, its items and their sessions. Raises ApiError if there is none."""
        for item in self.catalog.items(library_id):
            self.sessions.forget_item(item)
        self.catalog.delete_library(library_id)

    def delete_item(self, item_id: str) -> None:
        """Remove an item and its sessions. Raises ApiError if there is none."""
        self.sessions.forget_item(self.catalog.item(item_id))
        self.catalog.delete_item(item_id)

    def settle(self) -> None:
        """Carry out all expiries and completions due by now."""
        for kind in Kind:
            self.sessions.all(kind)
