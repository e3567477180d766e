"""Open, fill and damage a state file in tests."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from keepalived.host.clock import Clock
from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending, Target
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import Progress
from keepalived.lease.session import Session
from keepalived.store.loading import Stored
from keepalived.store.store import Store
from tests.support.sessions import a_session

KEY = SessionKey("lab", Kind.UPDATE, "815994e5:9c7e")
OWNER = Owner(OwnerKind.PROCESS, "12:34:boot")
HOLD = Hold(1000, OWNER, 100.0, 700.0, Progress(done=5, total=10), "nightly")


class Hands:
    """Two clocks that the test sets."""

    def __init__(self, boot: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._boot = boot
        self._wall = wall

    def boot(self) -> float:
        return self._boot

    def wall(self) -> float:
        return self._wall


@asynccontextmanager
async def opened(
    folder: Path,
    clock: Clock | None = None,
    boot_id: str = "this-boot",
    *,
    persist_tokens: bool = True,
) -> AsyncIterator[tuple[Store, Stored]]:
    """Open the state file of a folder, and close it afterwards."""
    path = folder / "state.db"
    store = Store(path, clock or Hands(), boot_id, persist_tokens=persist_tokens)
    stored = await store.open()
    try:
        yield store, stored
    finally:
        await store.close()


async def kept(folder: Path, clock: Hands | None = None, boot_id: str = "this-boot") -> Stored:
    """Return the contents of a folder's state file."""
    async with opened(folder, clock, boot_id) as (_, stored):
        return stored


async def tell(store: Store, statement: str) -> None:
    """Execute a statement on a store's connection."""

    def execute() -> None:
        assert store._file.database is not None
        store._file.database.execute(statement).fetchall()

    await store._in_thread(execute)


async def watching(store: Store) -> list[str]:
    """Return a list that receives every statement that SQLite executes from now on."""
    statements: list[str] = []

    def watch() -> None:
        assert store._file.database is not None
        store._file.database.set_trace_callback(statements.append)

    await store._in_thread(watch)
    return statements


def change_by_hand(folder: Path, statement: str) -> None:
    """Execute a statement on a folder's state file, while no store has it open."""
    with contextlib.closing(sqlite3.connect(folder / "state.db", isolation_level=None)) as database:
        database.execute(statement)


def traces(folder: Path, token: str) -> list[str]:
    """Return the names of the files that contain a token."""
    return [path.name for path in folder.iterdir() if token.encode() in path.read_bytes()]


def renewed() -> Session:
    """Return a session without holds, with all stored fields set."""
    return a_session(KEY, deadline=1200.0, progress=40)._replace(
        holds=(),
        renewals=7,
        target=Target("item-1", "3"),
        item=ItemInfo("item-1", "disk", "3", "Templates"),
        moved_at=950.0,
    )


DONE = renewed()._replace(state=State.DONE, ending=Ending(State.DONE, "completed"))
