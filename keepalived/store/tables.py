"""What the columns of the tables may hold: files are edited by hand, too.

SQLite takes any value in any column. What is read is checked here, so that a row that says
nonsense is found while it is read, and not by the engine much later.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType

Value = str | float | int | None
Types = frozenset[type]

_TEXT: Types = frozenset({str})
_TEXT_OR_NOTHING: Types = frozenset({str, NoneType})
_NUMBER: Types = frozenset({float})
_NUMBER_OR_NOTHING: Types = frozenset({float, NoneType})
_WHOLE: Types = frozenset({int})
_WHOLE_OR_NOTHING: Types = frozenset({int, NoneType})


MANY = 50
"""Rows that one statement writes where there are very many: SQLite does that without the
interpreter's lock, which it takes and gives back for each statement."""


FARTHEST = 1e10
"""In seconds: the year 2286 as wall time. Nothing that is further from now can be meant."""

_SHORTEST = 1.0
"""Seconds: no shorter `session_timeout` is taken, and nothing is renewed within less."""

_SPANS = frozenset({"lifetime", "configured_lifetime"})
_COUNTS = frozenset({"renewals", "done", "total"})


def _range(name: str) -> tuple[float, float] | tuple[()]:
    """Return the least and the greatest value of a column of numbers."""
    if name.endswith(("_boot", "_wall")):
        return -FARTHEST, FARTHEST
    if name in _SPANS:
        return _SHORTEST, FARTHEST
    if name in _COUNTS:
        return 0, 2**63 - 1
    return {"uid": (0, 2**32 - 1), "percent": (0, 100)}.get(name, ())


class Table:
    """A table, its columns in the order in which rows are written and read, and their types."""

    def __init__(self, name: str, columns: Mapping[str, Types]) -> None:
        self.name = name
        self._columns = columns
        names, row = ", ".join(columns), f"({', '.join('?' * len(columns))})"
        # Nothing but names of our own stands in the statements.
        self.select = f"SELECT {names} FROM {name}"  # noqa: S608
        self.put = f"INSERT OR REPLACE INTO {name} ({names}) VALUES {row}"  # noqa: S608
        self.put_many = ", ".join([self.put, *[row] * (MANY - 1)])
        self._sound: set[tuple[type, ...]] = set()
        self.names = tuple(columns)
        self._ranges = tuple(
            (place, *_range(name)) for place, name in enumerate(columns) if _range(name)
        )

    def check(self, row: tuple[object, ...]) -> None:
        """Raise ValueError where a column of a row holds what does not belong there."""
        for place, low, high in self._ranges:
            value = row[place]
            if isinstance(value, float | int) and not low <= value <= high:
                raise ValueError(f"{self.names[place]} is out of range")
        types = tuple(map(type, row))
        # Most rows are alike: whatever was found to be sound once need not be looked at again.
        if types in self._sound:
            return
        for (name, allowed), found in zip(self._columns.items(), types, strict=True):
            if found not in allowed:
                raise ValueError(f"{name} cannot be {_WORDS.get(found, 'bytes')}")
        self._sound.add(types)


_WORDS: Mapping[type, str] = {
    str: "a text",
    float: "a fraction",
    int: "a whole number",
    NoneType: "missing",
}

_KEY = {"vcenter": _TEXT, "kind": _TEXT, "id": _TEXT}

HOLD = Table(
    "hold",
    {
        **_KEY,
        "uid": _WHOLE,
        "owner_kind": _TEXT,
        "owner_id": _TEXT,
        "boot_id": _TEXT,
        "since_boot": _NUMBER,
        "since_wall": _NUMBER,
        "until_boot": _NUMBER_OR_NOTHING,
        "until_wall": _NUMBER_OR_NOTHING,
        "percent": _WHOLE_OR_NOTHING,
        "done": _WHOLE_OR_NOTHING,
        "total": _WHOLE_OR_NOTHING,
        "note": _TEXT,
        "token": _TEXT_OR_NOTHING,
    },
)

SESSION = Table(
    "session",
    {
        **_KEY,
        "boot_id": _TEXT,
        "since_boot": _NUMBER,
        "since_wall": _NUMBER,
        "renewed_boot": _NUMBER_OR_NOTHING,
        "renewed_wall": _NUMBER_OR_NOTHING,
        "configured_lifetime": _NUMBER,
        "lifetime": _NUMBER,
        "renewals": _WHOLE,
        "acknowledged": _WHOLE_OR_NOTHING,
        "item_id": _TEXT_OR_NOTHING,
        "content_version": _TEXT_OR_NOTHING,
        "item_name": _TEXT_OR_NOTHING,
        "item_version": _TEXT_OR_NOTHING,
        "library": _TEXT_OR_NOTHING,
        "ended_boot": _NUMBER_OR_NOTHING,
        "ended_wall": _NUMBER_OR_NOTHING,
        "state": _TEXT_OR_NOTHING,
        "reason": _TEXT_OR_NOTHING,
        "error_message": _TEXT_OR_NOTHING,
        "content_moved": _WHOLE_OR_NOTHING,
        "moved_boot": _NUMBER_OR_NOTHING,
        "moved_wall": _NUMBER_OR_NOTHING,
    },
)
