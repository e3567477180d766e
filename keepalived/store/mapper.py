"""Maps records to rows of a table and back, independent of the database.

A state file may be edited by hand, and SQLite accepts any value in any column. Each row is checked
when it is read, so that no invalid value reaches the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Generic, NamedTuple, TypeVar

from keepalived.store.times import Times

Value = str | float | int | None
R = TypeVar("R")

FARTHEST = 1e10
"""The limit for times, in seconds; as wall time, the year 2286."""


class Column(NamedTuple):
    """A column: its name and allowed values, which include None if it is `optional`.

    `range` is the smallest and the largest number.
    """

    name: str
    type: type[str | int | float]
    optional: bool = False
    range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RecordField(Generic[R]):
    """One argument of a record, and the columns that store it.

    `get` returns the value of the column, or a tuple if there are several columns. `build` converts
    them back to the argument, or raises ValueError; without it, the value is the argument.
    """

    name: str
    columns: tuple[Column, ...]
    get: Callable[[R], Any]
    build: Callable[[Any], object] | None = None
    is_time: bool = False


BOOT_ID: RecordField[Any] = RecordField("boot_id", (Column("boot_id", str),), lambda _: None)
"""The boot to which the boot times of a row belong. Not an argument of the record."""


def optional(
    type: type[int | str | float], *names: str, range: tuple[float, float] | None = None
) -> tuple[Column, ...]:
    """Return optional columns of one type."""
    return tuple(Column(name, type, True, range) for name in names)


def field(
    name: str,
    type: type[str | int | float],
    get: Callable[[R], Value],
    build: Callable[[Any], object] | None = None,
    range: tuple[float, float] | None = None,
) -> RecordField[R]:
    """Return a field of one column with the same name."""
    return RecordField(name, (Column(name, type, range=range),), get, build)


def time_field(
    name: str, prefix: str, get: Callable[[R], float | None], *, optional: bool = False
) -> RecordField[R]:
    """Return a field for a time, in two columns: boot time and wall time (see `Times`)."""
    limits = (-FARTHEST, FARTHEST)
    columns = (Column(f"{prefix}_{each}", float, optional, limits) for each in ("boot", "wall"))
    return RecordField(name, tuple(columns), get, is_time=True)


class Table(Generic[R]):
    """A table: its columns, in order of writing and reading, and the mapping to records.

    `make` creates a record from its arguments, by field name.
    """

    def __init__(
        self, name: str, make: Callable[[dict[str, Any]], R], *fields: RecordField[R]
    ) -> None:
        self.name = name
        self.columns = tuple(column for each in fields for column in each.columns)
        self.names = tuple(column.name for column in self.columns)
        self._make = make
        self._valid_types: set[tuple[type, ...]] = set()
        self._ranges = tuple(
            (place, *column.range) for place, column in enumerate(self.columns) if column.range
        )
        self._boot_id = self.names.index("boot_id")
        # Two lists, so that no row has to check which of its fields are times.
        self._times: list[tuple[str, int, Callable[[R], float | None]]] = []
        self._others: list[
            tuple[str, int | slice, Callable[[R], Any], Callable[[Any], object] | None]
        ] = []
        for each in fields:
            first = self.names.index(each.columns[0].name)
            if each.is_time:
                self._times.append((each.name, first, each.get))
            elif each is not BOOT_ID:
                is_one = len(each.columns) == 1
                places = first if is_one else slice(first, first + len(each.columns))
                self._others.append((each.name, places, each.get, each.build))

    def values(self, record: R, times: Times) -> list[Value]:
        """Return the row of a record."""
        row: list[Any] = [None] * len(self.names)
        row[self._boot_id] = times.boot_id
        for _, place, get in self._times:
            if (at := get(record)) is not None:
                row[place], row[place + 1] = at, at + times.wall_of_boot
        for _, places, get_other, _ in self._others:
            row[places] = get_other(record)
        return row

    def read(self, row: Sequence[Any], times: Times, **made: Any) -> R:
        """Return the record of a row. Keywords are arguments that the row does not contain.

        Raises ValueError with the reason if the row is invalid.
        """
        self._check(row)
        for name, places, _, build in self._others:
            made[name] = row[places] if build is None else build(row[places])
        is_this_boot = times.is_of(row[self._boot_id])
        for name, place, _ in self._times:
            boot, wall = row[place], row[place + 1]
            if boot is None or wall is None:
                made[name] = None
            else:
                made[name] = boot if is_this_boot else wall - times.wall_of_boot
        return self._make(made)

    def _check(self, row: Sequence[Any]) -> None:
        types = tuple(map(type, row))
        # Most rows have the same types as an earlier row.
        if types not in self._valid_types:
            for column, found in zip(self.columns, types, strict=True):
                if found is not column.type and not (column.optional and found is NoneType):
                    raise ValueError(f"{column.name} cannot be {_TYPES.get(found, 'bytes')}")
            self._valid_types.add(types)
        for place, low, high in self._ranges:
            value = row[place]
            if value is not None and not low <= value <= high:
                raise ValueError(f"{self.names[place]} is out of range")


_TYPES = {str: "a text", float: "a fraction", int: "a whole number", NoneType: "missing"}
