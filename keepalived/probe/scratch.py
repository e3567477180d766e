"""Create and remove the objects of a run on the vCenter: all of them, and nothing else.

Each object is recorded before it is requested, under a name that is unique to the run. Requests
that create something are never cancelled: they go on if the caller stops waiting, and removal
begins when all of them are complete. If an answer was lost, the object is found by its name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.model import Kind
from keepalived.vcenter.client import Client
from keepalived.vcenter.dialects import Resource
from keepalived.vcenter.library_admin import LibraryAdmin

T = TypeVar("T")

PREFIX = "clkeepalived-probe-"
"""The prefix of the names of all scratch items."""

CLEANUP_SECONDS = 90.0
"""Time limit for the removal, in seconds; objects that are left after it are reported."""

_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
_SECOND_SEARCH_SECONDS = 1.0


class ProbeError(Exception):
    """The run cannot go on. `outcome` is the answer that ended it, if there was one."""

    def __init__(self, message: str, outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Left:
    """An object that could not be removed. `id` is empty if it is unknown."""

    what: str
    name: str
    id: str


@dataclass(slots=True)
class ScratchItem:
    """A scratch item and its sessions. `id` is empty until it is known.

    `is_doubtful` means that it may have sessions whose ids are unknown because an answer was lost.
    Its first session was opened between `opened_from` and `opened_until`, on the boot-time clock.
    """

    name: str
    id: str = ""
    session_ids: list[str] = field(default_factory=list)
    is_doubtful: bool = False
    is_gone: bool = False
    opened_from: float = 0.0
    opened_until: float = 0.0

    @property
    def session_id(self) -> str:
        """The session that was opened first."""
        return self.session_ids[0]


class Scratch:
    """The objects of one run. `timeout`, in seconds, bounds each request."""

    def __init__(self, client: Client, admin: LibraryAdmin, timeout: float) -> None:
        self._client = client
        self._admin = admin
        self._timeout = timeout
        self._run = secrets.token_hex(6)
        self.mark = (
            f"Created by `clkeepalived probe`, which removes it at the end. Run {self._run}."
        )
        """The description of all objects of this run."""
        self._library_name = ""
        self._library_id = ""
        self._makes_library = False
        self._items: list[ScratchItem] = []
        self._under_way: set[asyncio.Task[Any]] = set()

    async def use_library(self, name: str) -> None:
        """Use an existing library. Raises ProbeError unless exactly one has this name."""
        found = await self._find_libraries(name)
        if not found:
            raise ProbeError(f"no library named {name!r}; create one, or give --datastore")
        if len(found) > 1:
            raise ProbeError(
                f"{len(found)} libraries are named {name!r}; choose one with a unique name"
            )
        self._library_name, (self._library_id,) = name, found

    async def make_library(self, name: str, datastore_id: str) -> None:
        """Create a library to use. Raises ProbeError if one of that name exists."""
        if await self._find_libraries(name):
            raise ProbeError(
                f"the library {name!r} already exists; leave out --datastore to use it"
            )
        self._library_name, self._makes_library = name, True

        async def make() -> Answer[str]:
            answer = await self._admin.create_library(name, self.mark, datastore_id)
            self._library_id = answer.value or ""
            return answer

        answer = await self._shielded(make())
        if answer.value is None:
            self._makes_library = not is_refusal(answer)
            raise _failed("cannot create the library", answer)

    async def make_item(self, label: str) -> ScratchItem:
        """Create an item with an update session on it. Raises ProbeError."""
        item = ScratchItem(f"{PREFIX}{self._run}-{label}")

        async def make() -> Answer[str]:
            answer = await self._admin.create_item(self._library_id, item.name, self.mark)
            item.id = answer.value or ""
            item.is_gone = is_refusal(answer)
            return answer

        self._items.append(item)
        made = await self._shielded(make())
        if made.value is None:
            raise _failed(f"cannot create an item in {self._library_name!r}", made)
        opened = await self.open_session(item)
        if opened.value is None:
            raise _failed("cannot open an update session", opened)
        item.opened_from, item.opened_until = opened.sent_at, opened.received_at
        return item

    async def open_session(self, item: ScratchItem) -> Answer[str]:
        """Request a session, possibly a further one, on an item."""

        async def make() -> Answer[str]:
            answer = await self._admin.create_session(item.id)
            if answer.value is not None:
                item.session_ids.append(answer.value)
            elif not is_refusal(answer):
                item.is_doubtful = True
            return answer

        return await self._shielded(make())

    async def clean_up(self) -> list[Left]:
        """Remove all objects within CLEANUP_SECONDS; return those that are left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEANUP_SECONDS):
                if self._under_way:
                    await asyncio.wait(self._under_way)
                await asyncio.gather(*map(self._remove_item, self._items))
                if self._makes_library:
                    await self._remove_library()
        left = [Left("item", each.name, each.id) for each in self._items if not each.is_gone]
        if self._makes_library:
            left.append(Left("library", self._library_name, self._library_id))
        return left

    async def _find_libraries(self, name: str) -> tuple[str, ...]:
        answer = await self._admin.find_libraries(name)
        if answer.value is None:
            raise _failed("cannot search for libraries", answer)
        return answer.value

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Complete a creating request, even if the caller stops waiting."""
        task = asyncio.create_task(work, name="creation")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _remove_item(self, item: ScratchItem) -> None:
        """Remove an item and its sessions, as far as they exist."""
        if item.is_gone:
            return
        if not item.id and not await self._find_item(item):
            return
        if item.id and item.is_doubtful:
            await self._find_sessions(item)
        for session_id in item.session_ids:
            await self._retry(
                partial(self._client.cancel, Kind.UPDATE, session_id, timeout=self._timeout),
                (Outcome.NOT_ALLOWED,),
            )
            await self._delete(Resource.UPDATE_SESSION, session_id)
        item.is_gone = not item.id or await self._delete(Resource.ITEM, item.id)

    async def _find_item(self, item: ScratchItem) -> bool:
        """Find an item whose creation was not acknowledged; return whether its state is known."""
        for _ in range(2):  # The creation may still have been in progress at the first search.
            found = await self._retry(lambda: self._admin.find_items(self._library_id, item.name))
            if found is None:
                return False
            if found.value:
                item.id = found.value[0]
                break
            await asyncio.sleep(_SECOND_SEARCH_SECONDS)
        return True

    async def _find_sessions(self, item: ScratchItem) -> None:
        """Record an item's sessions whose creation was not acknowledged."""
        listed = await self._retry(lambda: self._admin.sessions_of(item.id))
        for session_id in (listed and listed.value) or ():
            if session_id in item.session_ids:
                continue
            got = await self._client.get(Kind.UPDATE, session_id, timeout=self._timeout)
            if got.value is not None and got.value.item_id == item.id:
                item.session_ids.append(session_id)

    async def _delete(self, resource: Resource, resource_id: str) -> bool:
        answer = await self._retry(lambda: self._admin.delete(resource, resource_id))
        return answer is not None

    async def _remove_library(self) -> None:
        """Remove the library of this run, unless it contains other items."""
        if not self._library_id and not await self._find_our_library():
            return
        items = await self._retry(lambda: self._admin.find_items(self._library_id))
        if items is None or items.value:
            return
        self._makes_library = not await self._delete(Resource.LOCAL_LIBRARY, self._library_id)

    async def _find_our_library(self) -> bool:
        """Find a library whose creation was not acknowledged; return whether it was found."""
        found = await self._retry(lambda: self._admin.find_libraries(self._library_name))
        if found is None:
            return False
        for library_id in found.value or ():
            described = await self._retry(partial(self._admin.describe_library, library_id))
            if described is None:
                return False
            if described.value == self.mark:
                self._library_id = library_id
                return True
        self._makes_library = False
        return False

    async def _retry(
        self, ask: Callable[[], Awaitable[Answer[T]]], good: Sequence[Outcome] = ()
    ) -> Answer[T] | None:
        """Repeat a request until it succeeds or has already been done; return None on failure."""
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            answer = await ask()
            if answer.outcome in (Outcome.OK, Outcome.NOT_FOUND, *good):
                return answer
        return None


def is_refusal(answer: Answer[Any]) -> bool:
    """Whether an answer proves that nothing was created."""
    return answer.status is not None and 400 <= answer.status < 500


def _failed(message: str, answer: Answer[Any]) -> ProbeError:
    return ProbeError(f"{message}: {answer.detail or answer.outcome}", answer.outcome)
