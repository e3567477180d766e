"""Store libraries and their items."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar

from keepalived.simulator.errors import invalid, not_found
from keepalived.simulator.resources import Item, Library

T = TypeVar("T")


class Catalog:
    """The libraries and items of one simulated vCenter. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._libraries: dict[str, Library] = {}
        self._items: dict[str, Item] = {}

    def create_library(self, name: str, description: str = "") -> Library:
        """Add a local library. Raises ApiError for an empty name."""
        if not name:
            raise invalid("A library needs a name.")
        library = Library(str(uuid.uuid4()), name, self._clock(), description)
        self._libraries[library.id] = library
        return library

    def library(self, library_id: str) -> Library:
        """Return a library by its id. Raises ApiError if there is none."""
        return _known(self._libraries, "library", library_id)

    def libraries(self, name: str | None = None) -> list[Library]:
        """Return all libraries, or those of a name. As in the real service, case is ignored."""
        return [each for each in self._libraries.values() if _matches(each.name, name)]

    def delete_library(self, library_id: str) -> None:
        """Remove a library and its items."""
        del self._libraries[self.library(library_id).id]
        for item in self.items(library_id):
            del self._items[item.id]

    def create_item(
        self, library_id: str, name: str, item_type: str = "", description: str = ""
    ) -> Item:
        """Add an empty item. Raises ApiError for an empty name or an unknown library."""
        if not name:
            raise invalid("A library item needs a name.")
        library = self.library(library_id)
        item = Item(str(uuid.uuid4()), library.id, name, self._clock(), item_type, description)
        self._items[item.id] = item
        return item

    def item(self, item_id: str) -> Item:
        """Return an item by its id. Raises ApiError if there is none."""
        return _known(self._items, "library item", item_id)

    def items(self, library_id: str | None = None, name: str | None = None) -> list[Item]:
        """Return the items, optionally only those of a library or a name."""
        return [
            each
            for each in self._items.values()
            if library_id in (None, each.library_id) and _matches(each.name, name)
        ]

    def delete_item(self, item_id: str) -> None:
        """Remove an item."""
        del self._items[self.item(item_id).id]


def _matches(actual: str, wanted: str | None) -> bool:
    return wanted is None or actual.lower() == wanted.lower()


def _known(by_id: Mapping[str, T], what: str, id_: str) -> T:
    try:
        return by_id[id_]
    except KeyError:
        raise not_found(what, id_) from None
