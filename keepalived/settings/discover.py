"""The `discover` setting of a vCenter: hold all of its account's sessions, or some of them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated

from keepalived.settings.base import Name, Strict, tuple_of_one
from keepalived.validation import Before, Length, ShownAs
from keepalived.validation.problems import shown

_Patterns = Annotated[tuple[Name, ...], Length(least=1), Before(tuple_of_one)]


class Discover(Strict):
    """Which of the account's sessions to hold without registration."""

    libraries: _Patterns | None = None
    """Names of libraries, with the wildcards * and ?. Default: all libraries."""

    items: _Patterns | None = None
    """Names of library items, with the wildcards * and ?. Default: all items."""

    @property
    def takes_all(self) -> bool:
        """Whether sessions are included whatever their names."""
        return self.libraries is None and self.items is None

    def takes(self, library: str | None, item: str | None) -> bool:
        """Whether a session for this item is included. A name of None matches no pattern."""
        return _matches(self.libraries, library) and _matches(self.items, item)


def _matches(patterns: tuple[str, ...] | None, name: str | None) -> bool:
    if patterns is None:
        return True
    return name is not None and any(fnmatchcase(name, pattern) for pattern in patterns)


def _switch(value: object) -> object:
    """Return the filters that true, false or a mapping stands for; None means off."""
    if isinstance(value, bool):
        return Discover() if value else None
    if value is not None and not isinstance(value, dict | Discover):
        raise ValueError(
            "must be true, false, or filters such as {libraries: [isos], items: ['*.iso']}, "
            f"not {shown(value)}"
        )
    return value


DiscoverSwitch = Annotated[
    Discover | None, Before(_switch), ShownAs(bool | Discover, default=False)
]
