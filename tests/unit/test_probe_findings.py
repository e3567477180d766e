"""What follows from what was seen, case by case."""

from __future__ import annotations

import pytest

from keepalived.lease.answers import Answer, Outcome
from keepalived.probe.advice import Advice, advise, session_timeout
from keepalived.probe.findings import Finding, Question, Verdict, findings, proof_age
from keepalived.probe.notes import Notes, Reaction, Sample, Shift, Span, Trial, Trouble
from keepalived.settings import Observe

YES, NO, TOLD, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.TOLD, Verdict.UNKNOWN
GONE = Span(299.0, 302.0)
STILL, MOVED = Shift(0.0, 60.0), Shift(60.0, 60.0)
ACCEPTED, REFUSED = Reaction(True, 204), Reaction(False, 400, "resource_busy")


def finding(question: Question, notes: Notes) -> Finding:
    (found,) = [each for each in findings(notes) if each.question is question]
    return found


def advice(notes: Notes, configured: float = 300.0) -> Advice:
    return advise(notes, findings(notes), configured)


def test_of_nothing_seen_nothing_is_said() -> None:
    assert {each.verdict for each in findings(Notes())} == {UNKNOWN}
    assert [each.question for each in findings(Notes())] == list(Question)
    assert advice(Notes()).session_timeout is None
    assert advice(Notes()).observe is None


def test_why_something_was_not_measured_is_told() -> None:
    notes = Notes(troubles={Trial.PUT: Trouble("cannot add a file", "at vcsa.example")})
    assert finding(Question.PUT_KEEPS, notes).words == "cannot add a file"
    assert finding(Question.GET_KEEPS, notes).words == "the run ended before"


@pytest.mark.parametrize(
    ("span", "announced", "verdict", "words"),
    [
        (GONE, 300.4, TOLD, "4m59s to 5m2s (announced: 5m)"),
        (Span(340.0, 343.0), 300.0, TOLD, "5m40s to 5m43s (announced: 5m, but it lived longer"),
        (Span(57.0, 60.0), 300.0, TOLD, "57s to 1m (announced: 5m, but it was gone earlier)"),
        (GONE, None, TOLD, "4m59s to 5m2s"),
        (Span(299.0, 302.0, "ERROR"), None, TOLD, "4m59s to 5m2s, then it was ERROR"),
        (Span(480.0), 3600.0, UNKNOWN, "did not expire within 8m (announced: 1h)"),
        (Span(480.0), None, UNKNOWN, "did not expire within 8m"),
    ],
)
def test_how_long_a_session_lives(
    span: Span, announced: float | None, verdict: Verdict, words: str
) -> None:
    found = finding(Question.LIFETIME, Notes(untouched=span, announced=announced))
    assert found.verdict is verdict
    assert found.words.startswith(words)


@pytest.mark.parametrize(
    ("control", "span", "verdict"),
    [
        (GONE, Span(proof_age(GONE)), YES),
        (GONE, Span(proof_age(GONE) - 1), UNKNOWN),
        (GONE, Span(299.0, 303.0), NO),
        (GONE, Span(310.0, 313.0), NO),
        (GONE, Span(900.0, 903.0), YES),
        (Span(480.0), Span(600.0), UNKNOWN),
        (Span(480.0), Span(100.0, 103.0), UNKNOWN),
        (None, Span(600.0), UNKNOWN),
        (None, Span(100.0, 103.0), UNKNOWN),
    ],
)
def test_what_keeps_alive_is_told_beside_what_does_not(
    control: Span | None, span: Span, verdict: Verdict
) -> None:
    notes = Notes(untouched=control, put=span, got=span, kept=span)
    for question in (Question.PUT_KEEPS, Question.GET_KEEPS, Question.KEEP_ALIVE_KEEPS):
        assert finding(question, notes).verdict is verdict


def test_what_moves_with_a_get_is_blamed_on_nothing_else() -> None:
    def verdicts(get: Shift | None, other: Shift) -> tuple[Verdict, Verdict]:
        notes = Notes(get_shift=get, put_shift=other, keep_alive_shift=other)
        put, kept = (finding(each, notes) for each in (Question.PUT_MOVES, _KEEP_ALIVE))
        return put.verdict, kept.verdict

    assert verdicts(STILL, MOVED) == (YES, YES)
    assert verdicts(STILL, STILL) == (NO, NO)
    assert verdicts(MOVED, MOVED) == (UNKNOWN, UNKNOWN)
    assert verdicts(None, MOVED) == (UNKNOWN, UNKNOWN)
    assert verdicts(MOVED, STILL) == (NO, NO)
    assert finding(Question.GET_MOVES, Notes(get_shift=Shift(0.4, 60.0))).verdict is NO
    assert finding(Question.GET_MOVES, Notes(get_shift=Shift(0.0, 0.0))).verdict is UNKNOWN


_KEEP_ALIVE = Question.KEEP_ALIVE_MOVES


def test_bytes() -> None:
    def verdict(*told: int, sent: int = 9000) -> Finding:
        samples = tuple(Sample(10.0 * at, each) for at, each in enumerate(told))
        return finding(Question.BYTES_MOVE, Notes(samples=samples, bytes_sent=sent, bytes_after=9))

    assert verdict(0, 4000, 8000).verdict is YES
    assert verdict(0, 0, 0).verdict is NO
    assert verdict(0, 0, 0).words == "0 of 9,000 bytes sent were reported; 9 after the PUT"
    assert verdict().verdict is UNKNOWN
    assert verdict(0, sent=0).verdict is UNKNOWN


def test_reactions() -> None:
    notes = Notes(second=REFUSED, equal=ACCEPTED, lower=ACCEPTED, progress_after=0)
    assert finding(Question.SECOND, notes).words == "refused: HTTP 400 resource_busy"
    assert finding(Question.EQUAL, notes).words == "accepted: HTTP 204"
    assert finding(Question.LOWER, notes).words.endswith("after 50, 50 and 40 it is 0")


@pytest.mark.parametrize(
    ("outcome", "status", "is_one"),
    [
        (Outcome.OK, 204, True),
        (Outcome.INVALID_ARGUMENT, 400, True),
        (Outcome.FAILED, 500, True),
        (Outcome.UNAVAILABLE, 503, False),
        (Outcome.UNAUTHENTICATED, 401, False),
        (Outcome.TIMED_OUT, None, False),
    ],
)
def test_what_is_a_reaction(outcome: Outcome, status: int | None, *, is_one: bool) -> None:
    answer: Answer[None] = Answer(outcome, 0.0, 0.0, status=status)
    assert (Reaction.of(answer) is not None) is is_one


@pytest.mark.parametrize(
    ("announced", "span", "configured", "timeout"),
    [
        (300.4, GONE, 300.0, 300.0),
        (299.4, GONE, 300.0, 300.0),
        (301.0, Span(297.0, 299.9), 300.0, 297.0),
        (300.0, Span(340.0, 343.0), 60.0, 300.0),
        (300.0, Span(57.2, 60.0), 300.0, 57.0),
        (None, Span(57.2, 60.0), 300.0, 57.0),
        (4.0, Span(3.9, 4.1), 300.0, 4.0),
        (0.4, Span(0.3, 0.5), 300.0, 1.0),
        (3600.0, Span(480.0), 300.0, None),
        (120.0, Span(480.0), 300.0, 120.0),
        (None, Span(480.0), 300.0, None),
    ],
)
def test_the_session_timeout_is_never_more_than_was_seen_or_announced(
    announced: float | None, span: Span, configured: float, timeout: float | None
) -> None:
    assert session_timeout(Notes(announced=announced, untouched=span), configured) == timeout


def test_what_to_observe() -> None:
    def observe(told: int, kept: Shift) -> Observe | None:
        samples = (Sample(1.0, told),)
        notes = Notes(samples=samples, bytes_sent=9, get_shift=STILL, keep_alive_shift=kept)
        return advice(notes).observe

    assert observe(9, MOVED) is Observe.FILES
    assert observe(0, MOVED) is Observe.STATE
    assert observe(9, STILL) is Observe.MINIMAL


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        (Notes(untouched=GONE, put=Span(400.0)), "keeps its session alive"),
        (Notes(untouched=GONE, put=Span(299.0, 302.0)), "does not keep its session alive"),
        (Notes(untouched=GONE, kept=Span(299.0, 302.0)), "this program cannot help"),
        (Notes(second=REFUSED), "locks its item"),
        (Notes(second=ACCEPTED), "the right one is held"),
        (Notes(untouched=Span(480.0)), "session_timeout stays 5m"),
        (Notes(untouched=Span(57.0, 60.0), announced=300.0), "set session_timeout"),
        (Notes(get_shift=STILL, keep_alive_shift=STILL), "observe: minimal"),
    ],
)
def test_what_people_are_told(notes: Notes, words: str) -> None:
    assert any(words in remark for remark in advice(notes).remarks)
