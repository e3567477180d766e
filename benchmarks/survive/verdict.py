"""Judge the sessions of a lane by the server's ledger, not by the contender's output."""

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
    """A contender's result: the lost sessions out of `of`, with notes on the reasons.

    Of the lost ones, `savable` could have been saved; `warned` says whether the daemon had warned
    of each of the others before it was lost, and is True if there are none.
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
    """Count the lost sessions; nothing could save the first `doomed` ones."""
    lost = [
        (number, each)
        for number, each in enumerate(lane.uploads)
        if not arrived(each, lane.simulator)
    ]
    hopeless = [each for number, each in lost if number < doomed]
    warned, output = True, ""
    if lane.contender.name is Name.DAEMON and lane.contender.program is not None:
        output = lane.contender.program.output()
        warnings = list(_warnings(output))
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


def _warnings(output: str) -> Iterator[tuple[str, float]]:
    """Return the session and the wall time of each warning in a daemon's log."""
    for line in output.splitlines():
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if event.get("event") in _WARNINGS:
            yield str(event["session_id"]), datetime.fromisoformat(event["timestamp"]).timestamp()


def _note(number: int, upload: Upload, lane: Lane) -> str:
    record = lane.simulator.ledger.session(upload.session_id)
    ended = record.ended or "open"
    gap = f"longest gap {record.longest_gap:.1f} s of {lane.lifetime:g} s"
    return f"{number}: {ended}, {gap}; {upload.trouble or 'no trouble'}"
