"""Look up the items that the user named, before and after the command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.text import printable
from keepalived.vcenter.client import Client, ids
from keepalived.wrapper.tokens import Lent


class Look(NamedTuple):
    """What a look for an item found.

    `version` is its content version, None if there is no item or the server reports none.
    `problem` says why the vCenter could not be asked; it is empty if it could.
    """

    is_there: bool = False
    version: str | None = None
    problem: str = ""


class NamedItems:
    """Looks up items by LIBRARY/NAME, with the command's token if it is known."""

    def __init__(self, client: Client, names: Iterable[str], lent: Lent) -> None:
        self.names = sorted(names)
        self._client = client
        self._lent = lent
        self._before: dict[str, Look] = {}

    async def begin(self, timeout: float) -> None:
        """Look before the command starts. `timeout`, in seconds, limits each request."""
        self._before = {name: await self.look(name, timeout) for name in self.names}

    async def look(self, name: str, timeout: float) -> Look:
        """Look for one item now."""
        library_name, _, item_name = name.partition("/")
        libraries = await self._ask(library_name, None, timeout)
        for library_id in libraries.value or ():
            items = await self._ask(item_name, library_id, timeout)
            if items.value is None:
                return _unanswered(items)
            for item_id in items.value:
                item = await self._client.item(item_id, timeout=timeout, token=self._lent.token)
                if item.value is not None:
                    return Look(is_there=True, version=item.value.content_version)
                if item.outcome is not Outcome.NOT_FOUND:
                    return _unanswered(item)
        return Look() if libraries.value is not None else _unanswered(libraries)

    def sentence(self, name: str, after: Look, vcenter: str, *, has_arrived: bool) -> str:
        """Say what became of an item; `has_arrived` is whether a session filled it."""
        before, shown = self._before.get(name, Look(problem="not asked")), printable(name)
        if after.problem:
            return f"{shown}: whether it arrived is unknown: {vcenter} says {after.problem}"
        if not after.is_there:
            gone = "is missing: it was there before" if before.is_there else "is missing"
            return f"{shown} {gone}"
        version = "" if after.version is None else f", version {after.version}"
        if before.version is not None and after.version not in (None, before.version):
            return f"{shown} arrived, version {before.version}\N{RIGHTWARDS ARROW}{after.version}"
        if has_arrived:
            return f"{shown} arrived{version}"
        if before.problem:
            return f"{shown} is there{version}; whether it is new is unknown: {before.problem}"
        if not before.is_there:
            # The content of a new item is its second version.
            if after.version == "1":
                return f"{shown} is new, but without content{version}"
            return f"{shown} arrived{version}"
        if after.version is None:
            return f"{shown} is there, as before; {vcenter} does not say whether it has changed"
        return f"{shown} is unchanged{version}"

    async def _ask(
        self, name: str, library_id: str | None, timeout: float
    ) -> Answer[tuple[str, ...]]:
        """List the ids of the libraries, or of a library's items, with this name."""
        token = self._lent.token
        if library_id is None:
            return await self._client.query(lambda d: d.find_libraries(name), ids, timeout, token)
        spec = {"library_id": library_id, "name": name}
        return await self._client.query(lambda d: d.find_items(spec), ids, timeout, token)


def _unanswered(answer: Answer[object]) -> Look:
    return Look(problem=printable(answer.detail or answer.outcome.value))
