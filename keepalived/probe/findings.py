"""Findings from the observations: an answer to each question, or why there is none.

Nothing is guessed. A request counts as keeping a session alive only if that session lived clearly
longer than the one that was left untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keepalived.probe.notes import Notes, Reaction, Shift, Span, Trial
from keepalived.settings.durations import format_duration

_CLEARLY = 1.25
_INTERRUPTED = "the run ended before"


class Verdict(StrEnum):
    """The kind of an answer."""

    YES = "yes"
    NO = "no"
    TOLD = "told"
    """The text is the answer."""
    UNKNOWN = "not measured"


class Question(StrEnum):
    """The questions; the values are the keys in the report."""

    LIFETIME = "untouched_lifetime"
    GET_MOVES = "get_moves_expiration_time"
    GET_KEEPS = "get_keeps_alive"
    KEEP_ALIVE_MOVES = "keep_alive_moves_expiration_time"
    KEEP_ALIVE_KEEPS = "keep_alive_keeps_alive"
    PUT_MOVES = "put_moves_expiration_time"
    PUT_KEEPS = "put_keeps_alive"
    BYTES_MOVE = "bytes_transferred_moves_during_put"
    SECOND = "second_session_on_an_item"
    EQUAL = "progress_that_stays"
    LOWER = "progress_that_falls"


QUESTIONS = {
    Question.LIFETIME: "How long does an untouched session live?",
    Question.GET_MOVES: "Does a GET move expiration_time?",
    Question.GET_KEEPS: "Do GETs keep a session alive?",
    Question.KEEP_ALIVE_MOVES: "Does a keep-alive move expiration_time?",
    Question.KEEP_ALIVE_KEEPS: "Do keep-alives keep a session alive?",
    Question.PUT_MOVES: "Does a PUT in progress move expiration_time?",
    Question.PUT_KEEPS: "Does a PUT in progress keep a session alive?",
    Question.BYTES_MOVE: "Does bytes_transferred move during a PUT?",
    Question.SECOND: "How is a second session on an item answered?",
    Question.EQUAL: "How is progress that does not rise answered?",
    Question.LOWER: "How is progress that falls answered?",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer to a question: its kind and its text."""

    question: Question
    verdict: Verdict
    words: str


_Answer = tuple[Verdict, str]


def proof_age(control: Span) -> float:
    """Return the age, in seconds, that proves a longer life than an untouched session's."""
    return _CLEARLY * (control.least if control.most is None else control.most)


def findings(notes: Notes) -> tuple[Finding, ...]:
    """Answer every question."""
    get_moves = _moves(notes.get_shift)
    keep_alive_moves = _unless_gets_move_it(_moves(notes.keep_alive_shift), get_moves)
    put_moves = _unless_gets_move_it(_moves(notes.put_shift), get_moves)
    answers: dict[Question, tuple[Trial, _Answer | None]] = {
        Question.LIFETIME: (Trial.UNTOUCHED, _lifetime(notes)),
        Question.GET_MOVES: (Trial.GET, get_moves),
        Question.GET_KEEPS: (Trial.GET, _keeps(notes.got, notes)),
        Question.KEEP_ALIVE_MOVES: (Trial.KEEP_ALIVE, keep_alive_moves),
        Question.KEEP_ALIVE_KEEPS: (Trial.KEEP_ALIVE, _keeps(notes.kept, notes)),
        Question.PUT_MOVES: (Trial.WATCHED_PUT, put_moves),
        Question.PUT_KEEPS: (Trial.PUT, _keeps(notes.put, notes)),
        Question.BYTES_MOVE: (Trial.WATCHED_PUT, _bytes(notes)),
        Question.SECOND: (Trial.PROGRESS, _reacts(notes.second)),
        Question.EQUAL: (Trial.PROGRESS, _reacts(notes.equal)),
        Question.LOWER: (Trial.PROGRESS, _progress_falls(notes)),
    }
    return tuple(
        Finding(question, *(answer or _unknown(trial, notes)))
        for question, (trial, answer) in answers.items()
    )


def _lifetime(notes: Notes) -> _Answer | None:
    span = notes.untouched
    if span is None:
        return None
    announced = "" if notes.announced is None else f"announced: {about(notes.announced)}"
    if span.most is None:
        text = f"did not expire within {about(span.least)}"
        return Verdict.UNKNOWN, f"{text} ({announced})" if announced else text
    text = f"{about(span.least)} to {about(span.most)}"
    if span.state:
        text += f", then it was {span.state}"
    if announced:
        text += f" ({announced}{_compared(span, span.most, notes.announced)})"
    return Verdict.TOLD, text


def _compared(span: Span, most: float, announced: float | None) -> str:
    """Compare the observed with the announced lifetime, within their uncertainties."""
    if announced is None:
        return ""
    # A server's `Date` is in whole seconds.
    if most < announced - 1:
        return ", but it was gone earlier"
    if span.least > announced + 1:
        return ", but it lived longer"
    return ""


def _keeps(span: Span | None, notes: Notes) -> _Answer | None:
    control = notes.untouched
    if span is None:
        return None
    lived = about(span.least)
    if span.most is not None:
        end = f"{span.state or 'gone'} after {lived} to {about(span.most)}"
        if control is None:
            return Verdict.UNKNOWN, f"{end}; the lifetime of an untouched session is unknown"
        if control.most is None:
            least = about(control.least)
            return Verdict.UNKNOWN, f"{end}; an untouched session lived for at least {least}"
        verdict = Verdict.YES if span.least >= proof_age(control) else Verdict.NO
        return verdict, f"{end}; an untouched session after {about(control.most)}"
    if control is None:
        return _unknown(Trial.UNTOUCHED, notes)
    if control.most is None:
        least = about(control.least)
        return Verdict.UNKNOWN, f"an untouched session did not expire within {least} either"
    most = about(control.most)
    if span.least < proof_age(control):
        return Verdict.UNKNOWN, f"watched for {lived}, which is too short compared with {most}"
    return Verdict.YES, f"ACTIVE after {lived}; an untouched session was gone after {most}"


def _moves(shift: Shift | None) -> _Answer | None:
    if shift is None or shift.over <= 0:
        return None
    if shift.by > shift.over / 2:
        return Verdict.YES, f"by {about(shift.by)} in {about(shift.over)}"
    moved = f"moved by only {shift.by:+.1f} s" if round(shift.by, 1) else "did not move"
    return Verdict.NO, f"{moved} in {about(shift.over)}"


def _unless_gets_move_it(answer: _Answer | None, get_moves: _Answer | None) -> _Answer | None:
    """Return UNKNOWN for YES unless GETs are known to move nothing: each reading is a GET."""
    if answer is None or answer[0] is not Verdict.YES:
        return answer
    if get_moves is not None and get_moves[0] is Verdict.NO:
        return answer
    return Verdict.UNKNOWN, f"{answer[1]}, possibly because of the GETs that read it"


def _bytes(notes: Notes) -> _Answer | None:
    reported = [sample.bytes_transferred for sample in notes.samples]
    if not reported or not notes.bytes_sent:
        return None
    after = "" if notes.bytes_after is None else f"; {notes.bytes_after:,} after the PUT"
    text = f"{reported[-1]:,} of {notes.bytes_sent:,} bytes sent were reported{after}"
    return Verdict.YES if max(reported) > 0 else Verdict.NO, text


def _reacts(reaction: Reaction | None) -> _Answer | None:
    if reaction is None:
        return None
    status = f"HTTP {reaction.status} {reaction.error_type}".rstrip()
    return Verdict.TOLD, f"{'accepted' if reaction.accepted else 'refused'}: {status}"


def _progress_falls(notes: Notes) -> _Answer | None:
    answer = _reacts(notes.lower)
    if answer is None or notes.progress_after is None:
        return answer
    return Verdict.TOLD, f"{answer[1]}; after 50, 50 and 40 it is {notes.progress_after}"


def _unknown(trial: Trial, notes: Notes) -> _Answer:
    trouble = notes.troubles.get(trial)
    return Verdict.UNKNOWN, trouble.words if trouble else _INTERRUPTED


def about(seconds: float) -> str:
    """Return a duration: whole seconds, or tenths where it is short."""
    return format_duration(round(seconds, 1 if seconds < 10 else 0))
