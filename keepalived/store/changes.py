"""Changes that wait to be written, which of them are retried, and who waits for them.

They are rows to put or to delete, independent of the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from keepalived.store.mapper import Table, Value
from keepalived.store.tables import HOLD, SESSION, HoldRow, SessionRow


@dataclass(slots=True, eq=False)
class Change:
    """Puts `record` into a table. If it is None, deletes the rows whose first columns are `key`.

    The row's values are computed in the writing thread. `done` is for a caller that waits until the
    change is on disk.
    """

    table: Table[Any]
    key: tuple[Value, ...]
    record: HoldRow | SessionRow | None = field(default=None, repr=False)
    done: asyncio.Future[None] | None = None

    @property
    def subject(self) -> tuple[Value, ...]:
        """The table and key; of several changes with the same subject only the last counts."""
        return (self.table.name, *self.key)

    @property
    def is_kept(self) -> bool:
        """Whether the change is retried if it cannot be written now.

        A new hold is not: its caller gets the error, and undoes the hold.
        """
        return self.record is None or self.table is SESSION

    def answer(self, failure: OSError | None) -> bool:
        """Wake the waiting caller; return False if there is none."""
        if self.done is None or self.done.done():
            return False
        if failure is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(failure)
        return True


SCRUB = Change(HOLD, ())
"""Deletes the tokens in all rows."""


def coalesce(changes: Iterable[Change]) -> list[Change]:
    """Return the last change of each subject, in order: a disk may fail for days."""
    last: dict[tuple[Value, ...], Change] = {}
    for change in changes:
        last.pop(change.subject, None)
        last[change.subject] = change
    return list(last.values())
