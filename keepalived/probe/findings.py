"""What follows from what was seen: one answer to each question, or why there is none.

Nothing is guessed. What keeps a session alive is told from what does not by comparison: it has to
have lived for clearly longer than the one that was left untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keepalived.probe.notes import Notes, Reaction, Shift, Span, Trial
from keepalived.settings.durations import format_duration

_CLEARLY = 1.25
_INTERRUPTED = "the run was over before"


class Verdict(StrEnum):
    """The kind of an answer."""

    YES = "yes"
    NO = "no"
    TOLD = "told"
    """The words are the answer."""
    UNKNOWN = "not measured"


class Question(StrEnum):
    """What is asked; the values are the keys in the report."""

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
    Question.GET_MOVES: "Does expiration_time move with a GET?",
    Question.GET_KEEPS: "Do GETs keep a session alive?",
    Question.KEEP_ALIVE_MOVES: "Does expiration_time move with a keep-alive?",
    Question.KEEP_ALIVE_KEEPS: "Do keep-alives keep a session alive?",
    Question.PUT_MOVES: "Does expiration_time move during a PUT?",
    Question.PUT_KEEPS: "Does a PUT in progress keep a session alive?",
    Question.BYTES_MOVE: "Does bytes_transferred move during a PUT?",
    Question.SECOND: "What is a second session on an item answered?",
    Question.EQUAL: "What is progress answered that does not rise?",
    Question.LOWER: "What is progress answered that falls?",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer to a question, in a word and in words."""

    question: Question
    verdict: Verdict
    words: str


def proof_age(control: Span) -> float:
    """Return the age, in seconds, that says something beside an untouched session's lifetime."""
    return _CLEARLY * (control.least if control.most is None else control.most)


def findings(notes: Notes) -> tuple[Finding, ...]:
    """Answer every question."""
    get_moves = _moves(Question.GET_MOVES, Trial.GET, notes.get_shift, notes)
    keep_alive_moves = _moves(
        Question.KEEP_ALIVE_MOVES, Trial.KEEP_ALIVE, notes.keep_alive_shift, notes
    )
    put_moves = _moves(Question.PUT_MOVES, Trial.WATCHED_PUT, notes.put_shift, notes)
    return (
        _lifetime(notes),
        get_moves,
        _keeps(Question.GET_KEEPS, Trial.GET, notes.got, notes),
        _beside_gets(keep_alive_moves, get_moves),
        _keeps(Question.KEEP_ALIVE_KEEPS, Trial.KEEP_ALIVE, notes.kept, notes),
        _beside_gets(put_moves, get_moves),
        _keeps(Question.PUT_KEEPS, Trial.PUT, notes.put, notes),
        _bytes(notes),
        _reacts(Question.SECOND, notes.second, notes),
        _reacts(Question.EQUAL, notes.equal, notes),
        _progress_falls(notes),
    )


def _lifetime(notes: Notes) -> Finding:
    span = notes.untouched
    if span is None:
        return _unknown(Question.LIFETIME, Trial.UNTOUCHED, notes)
    announced = "" if notes.announced is None else f"announced: {about(notes.announced)}"
    if span.most is None:
        told = f"did not expire within {about(span.least)}"
        words = f"{told} ({announced})" if announced else told
        return Finding(Question.LIFETIME, Verdict.UNKNOWN, words)
    words = f"{about(span.least)} to {about(span.most)}"
    if span.state:
        words += f", then it was {span.state}"
    if announced:
        words += f" ({announced}{_compared(span, span.most, notes.announced)})"
    return Finding(Question.LIFETIME, Verdict.TOLD, words)


def _compared(span: Span, most: float, announced: float | None) -> str:
    """Compare what happened with what was announced, to within what can be told of either."""
    if announced is None:
        return ""
    # A server's `Date` has whole seconds.
    if most < announced - 1:
        return ", and it was gone before"
    if span.least > announced + 1:
        return ", and it lived on for a while"
    return ""


def _keeps(question: Question, trial: Trial, span: Span | None, notes: Notes) -> Finding:
    control = notes.untouched
    if span is None:
        return _unknown(question, trial, notes)
    lived = about(span.least)
    if span.most is not None:
        end = span.state or "gone"
        told = f"{end} after {lived} to {about(span.most)}"
        if control is None or control.most is None:
            beside = "what an untouched one does is not known"
            if control is not None:
                beside = f"an untouched one lived for {about(control.least)} at least"
            return Finding(question, Verdict.UNKNOWN, f"{told}; {beside}")
        verdict = Verdict.YES if span.least >= proof_age(control) else Verdict.NO
        words = f"{told}, an untouched one after {about(control.most)}"
        return Finding(question, verdict, words)
    if control is None:
        return _unknown(question, Trial.UNTOUCHED, notes)
    if control.most is None:
        words = f"an untouched session did not expire within {about(control.least)} either"
        return Finding(question, Verdict.UNKNOWN, words)
    if span.least < proof_age(control):
        words = f"watched for {lived}, which is too short beside {about(control.most)}"
        return Finding(question, Verdict.UNKNOWN, words)
    words = f"ACTIVE after {lived}, an untouched one was gone after {about(control.most)}"
    return Finding(question, Verdict.YES, words)


def _moves(question: Question, trial: Trial, shift: Shift | None, notes: Notes) -> Finding:
    if shift is None or shift.over <= 0:
        return _unknown(question, trial, notes)
    if shift.by > shift.over / 2:
        words = f"by {about(shift.by)} in {about(shift.over)}"
        return Finding(question, Verdict.YES, words)
    moved = f"it moved by {shift.by:+.1f} s only" if round(shift.by, 1) else "it stood still"
    return Finding(question, Verdict.NO, f"{moved} for {about(shift.over)}")


def _beside_gets(finding: Finding, get_moves: Finding) -> Finding:
    """A reading is a GET: where that moves it, nothing is known of anything else."""
    if finding.verdict is not Verdict.YES or get_moves.verdict is Verdict.NO:
        return finding
    words = f"{finding.words}, which the GETs that read it may have done"
    return Finding(finding.question, Verdict.UNKNOWN, words)


def _bytes(notes: Notes) -> Finding:
    told = [sample.bytes_transferred for sample in notes.samples]
    if not told or not notes.bytes_sent:
        return _unknown(Question.BYTES_MOVE, Trial.WATCHED_PUT, notes)
    after = "" if notes.bytes_after is None else f", {notes.bytes_after:,} after it"
    words = f"{told[-1]:,} told of {notes.bytes_sent:,} sent{after}"
    verdict = Verdict.YES if max(told) > 0 else Verdict.NO
    return Finding(Question.BYTES_MOVE, verdict, words)


def _reacts(question: Question, reaction: Reaction | None, notes: Notes) -> Finding:
    if reaction is None:
        return _unknown(question, Trial.PROGRESS, notes)
    status = f"HTTP {reaction.status} {reaction.error_type}".rstrip()
    words = f"{'accepted' if reaction.accepted else 'refused'}: {status}"
    return Finding(question, Verdict.TOLD, words)


def _progress_falls(notes: Notes) -> Finding:
    finding = _reacts(Question.LOWER, notes.lower, notes)
    if notes.lower is None or notes.progress_after is None:
        return finding
    words = f"{finding.words}; after 50, 50 and 40 the session says {notes.progress_after}"
    return Finding(Question.LOWER, finding.verdict, words)


def _unknown(question: Question, trial: Trial, notes: Notes) -> Finding:
    trouble = notes.troubles.get(trial)
    return Finding(question, Verdict.UNKNOWN, trouble.words if trouble else _INTERRUPTED)


def about(seconds: float) -> str:
    """Return a duration: whole seconds, or tenths where it is short."""
    return format_duration(round(seconds, 1 if seconds < 10 else 0))
