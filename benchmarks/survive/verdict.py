"""What became of the sessions of a lane: by the server's ledger, not by a contender's own word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from benchmarks.survive.contenders import Name
from benchmarks.survive.lanes import Lane
from benchmarks.survive.uploads import Upload, arrived
from keepalived.simulator.resources import SessionEvent

_NOTES = 4
_WARNINGS = frozenset({"session_at_risk", "session_overdue"})


@dataclass(frozen=True)
class Cell:
    """How a contender fared: sessions lost of how many, and why, as far as can be told.

    Of the lost ones, `savable` could have been saved; `warned` says whether the daemon had warned
    of each of the others before it was lost, and is True where there is none.
    """

    lost: int
    of: int
    savable: int = 0
    warned: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def is_honoured(self) -> bool:
        """Whether the daemon's promise was kept."""
        return not self.savable and self.warned


def judge(lane: Lane, doomed: int) -> Cell:
    """Count what was lost; nothing could save the first `doomed` sessions."""
    lost = [
        (number, each)
        for number, each in enumerate(lane.uploads)
        if not arrived(each, lane.simulator)
    ]
    hopeless = [each for number, each in lost if number < doomed]
    warned, words = True, ""
    if lane.contender.name is Name.DAEMON and lane.contender.program is not None:
        words = lane.contender.program.words()
        warnings = list(_warnings(words))
        warned = all(_was_warned_of(each, lane, warnings) for each in hopeless)
    return Cell(
        lost=len(lost),
        of=len(lane.uploads),
        savable=len(lost) - len(hopeless),
        warned=warned,
        notes=[_note(number, each, lane) for number, each in lost[:_NOTES]],
    )


def _was_warned_of(upload: Upload, lane: Lane, warnings: Iterable[tuple[str, float]]) -> bool:
    ends = [each for each in lane.simulator.ledger.events_of(upload.session_id)]
    expired = [each.time for each in ends if each.event is SessionEvent.EXPIRED]
    lost_at = lane.simulator.clock.epoch + min(expired, default=float("inf"))
    return any(id_ == upload.session_id and at < lost_at for id_, at in warnings)


def _warnings(words: str) -> Iterator[tuple[str, float]]:
    """Return the session and the wall time of each warning in a daemon's log."""
    for line in words.splitlines():
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if said.get("event") in _WARNINGS:
            yield str(said["session_id"]), datetime.fromisoformat(said["timestamp"]).timestamp()


def _note(number: int, upload: Upload, lane: Lane) -> str:
    record = lane.simulator.ledger.session(upload.session_id)
    ended = record.ended or "open"
    gap = f"longest gap {record.longest_gap:.1f} s of {lane.lifetime:g} s"
    return f"{number}: {ended}, {gap}; {upload.trouble or 'no trouble'}"
