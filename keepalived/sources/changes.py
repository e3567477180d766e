"""What a file says now against what was made of it so far: pure, and the whole of the rule.

An entry is taken up when it is new or has changed, and never for standing there: the line of a
session that has ended does not start it anew. Progress and the files that a line names only
update.

What vanished is let go at the second look that misses it. A file that is written in place can be
caught half-written and still be valid YAML, with half of its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from keepalived.lease.model import SessionKey
from keepalived.settings import Line

Entries = Mapping[SessionKey, Line]


@dataclass(frozen=True, slots=True)
class Changes:
    """What there is to do, and what holds once it is done.

    `applied` are the entries that are in effect afterwards, and `missed` those among them that
    did not stand in the file this time.
    """

    taken: tuple[SessionKey, ...]
    updated: tuple[SessionKey, ...]
    let_go: tuple[SessionKey, ...]
    applied: Entries
    missed: frozenset[SessionKey]


def compare(
    applied: Entries, wanted: Entries, missed: frozenset[SessionKey] = frozenset(), *, certain: bool
) -> Changes:
    """Return what leads from `applied` to `wanted`.

    `missed` are the entries that the look before did not find. `certain` says that what is not
    wanted now is not wanted at all, however often it was missed.
    """
    taken: list[SessionKey] = []
    updated: list[SessionKey] = []
    for key, entry in wanted.items():
        before = applied.get(key)
        if before == entry:
            continue
        if before is not None and _but_for_updates(before) == _but_for_updates(entry):
            updated.append(key)
        else:
            taken.append(key)
    vanished = applied.keys() - wanted.keys()
    let_go = vanished if certain else vanished & missed
    still = vanished - let_go
    return Changes(
        tuple(taken),
        tuple(updated),
        tuple(let_go),
        {**wanted, **{key: applied[key] for key in still}} if still else wanted,
        frozenset(still),
    )


def _but_for_updates(line: Line) -> Line:
    held = replace(line, progress=None, bytes_done=None, bytes_total=None)
    return replace(held, path=None, token_file=None)
