"""The recommended configuration, and what the findings mean for uploads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keepalived.probe.findings import Finding, Question, Verdict, about
from keepalived.probe.notes import Notes
from keepalived.settings import Observe
from keepalived.settings.durations import format_duration

_ROUND = 5.0
_ROUND_FROM = 30.0
_SHORTEST = 1.0
_UNSURE = 1.5
_SLACK = 0.25

_REMARKS = {
    (Question.PUT_KEEPS, Verdict.YES): (
        "a PUT in progress keeps its session alive: sessions are lost in the gaps before, between "
        "and after transfers, and in transfers that are stuck"
    ),
    (Question.PUT_KEEPS, Verdict.NO): (
        "a PUT in progress does not keep its session alive: every transfer that takes longer "
        "than the timeout needs keep-alives"
    ),
    (Question.BYTES_MOVE, Verdict.YES): (
        "bytes are reported during a PUT: with observe: files, progress and stalls are taken from "
        "them"
    ),
    (Question.BYTES_MOVE, Verdict.NO): (
        "bytes are not reported during a PUT: stall_timeout cannot detect abandoned uploads, and "
        "the uploader has to report progress"
    ),
    (Question.KEEP_ALIVE_MOVES, Verdict.NO): (
        "expiration_time does not move, so lifetimes cannot be learned from it: observe: minimal "
        "ignores it"
    ),
}
"""Remarks that follow from a single answer, in the order of the report."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to configure, and why. `session_timeout` is in seconds; None leaves it unchanged."""

    session_timeout: float | None
    observe: Observe | None
    remarks: tuple[str, ...]


def advise(notes: Notes, found: Sequence[Finding], configured: float) -> Advice:
    """Return the advice. `configured` is the present session timeout in seconds."""
    verdicts = {finding.question: finding.verdict for finding in found}
    timeout = session_timeout(notes, configured)
    observe = {Verdict.YES: Observe.FILES, Verdict.NO: Observe.STATE}.get(
        verdicts[Question.BYTES_MOVE]
    )
    if verdicts[Question.KEEP_ALIVE_MOVES] is Verdict.NO:
        observe = Observe.MINIMAL
    return Advice(timeout, observe, tuple(_remarks(notes, verdicts, timeout, configured)))


def session_timeout(notes: Notes, configured: float) -> float | None:
    """Return the session timeout to configure, in seconds; None if nothing is known.

    The result never exceeds the announced or the observed lifetime. If no session was seen to
    expire, the present setting stays, unless a shorter lifetime was announced.
    """
    span, announced = notes.untouched, notes.announced
    if span is None:
        return None
    if span.most is None:
        return None if announced is None or announced >= configured else _rounded(announced)
    if announced is not None and span.most >= announced - _UNSURE:
        rounded = _rounded(announced)
        if rounded <= span.most:
            return rounded
    return max(_SHORTEST, float(int(span.least)))


def _rounded(announced: float) -> float:
    """Round an announced lifetime that is close to a round number, as settings usually are."""
    if announced >= _ROUND_FROM:
        nearest = _ROUND * round(announced / _ROUND)
        if abs(nearest - announced) <= _UNSURE:
            return nearest
    return max(_SHORTEST, float(int(announced + _SLACK)))


def _remarks(
    notes: Notes, verdicts: dict[Question, Verdict], timeout: float | None, configured: float
) -> Iterator[str]:
    span, announced = notes.untouched, notes.announced
    if verdicts[Question.KEEP_ALIVE_KEEPS] is Verdict.NO:
        yield (
            "keep-alives do not keep a session alive here: this program cannot help; please report "
            "it"
        )
    if timeout is None:
        yield f"no session expired: session_timeout stays {format_duration(configured)}"
    elif span and span.most and announced and span.most < announced - _UNSURE:
        yield (
            f"sessions are gone after {about(span.most)}, although {about(announced)} is "
            "announced: set session_timeout, as it is not learned"
        )
    yield from (remark for (of, verdict), remark in _REMARKS.items() if verdicts[of] is verdict)
    if notes.second is not None and not notes.second.accepted:
        yield (
            "an item accepts one session at a time: a session that is kept alive without an upload "
            "locks its item, so let holds end with their uploads"
        )
    elif notes.second is not None:
        yield "an item accepts several sessions at a time: make sure that the right one is held"
