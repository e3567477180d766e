"""`probe` tells the truth about servers of either behaviour: whole runs, on the fake clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keepalived.probe.findings import Question, Verdict
from keepalived.probe.report import as_json
from keepalived.settings import Observe
from keepalived.simulator.faults import Fail, Lifetime
from keepalived.simulator.routes import ServedDialect
from tests.support.probe import Stand, answers

pytestmark = pytest.mark.looptime(end=3600)

YES, NO, TOLD, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.TOLD, Verdict.UNKNOWN
REFUSED = "refused: HTTP 400"


@pytest.mark.parametrize(
    ("dialect", "counts", "tells"),
    [("api", True, True), ("rest", True, False), ("rest", False, True), ("api", False, False)],
)
async def test_of_puts(dialect: str, *, counts: bool, tells: bool) -> None:
    stand = Stand(put_counts_as_activity=counts, bytes_during_put=tells)
    report = await stand.probe(dialect=dialect).run()
    found = answers(report)
    assert {each: found[each].verdict for each in found} == {
        Question.LIFETIME: TOLD,
        Question.GET_MOVES: NO,
        Question.GET_KEEPS: NO,
        Question.KEEP_ALIVE_MOVES: YES,
        Question.KEEP_ALIVE_KEEPS: YES,
        Question.PUT_MOVES: YES if counts else NO,
        Question.PUT_KEEPS: YES if counts else NO,
        Question.BYTES_MOVE: YES if tells else NO,
        Question.SECOND: TOLD,
        Question.EQUAL: TOLD,
        Question.LOWER: TOLD,
    }
    span = report.notes.untouched
    assert span is not None
    assert span.most is not None
    assert 296 <= span.least <= 300 <= span.most <= 304
    assert found[Question.LIFETIME].words.endswith("(announced: 5m)")
    assert found[Question.SECOND].words == f"{REFUSED} resource_busy"
    assert found[Question.EQUAL].words == f"{REFUSED} invalid_argument"
    assert found[Question.LOWER].words.startswith(f"{REFUSED} invalid_argument; after 50, 50 and")
    assert (report.advice.session_timeout, report.dialect) == (300.0, dialect)
    assert report.advice.observe is (Observe.FILES if tells else Observe.STATE)
    assert report.is_whole
    assert report.took < 480
    stand.bystanders.check_all_is_as_it_was()


async def test_of_a_server_that_announces_more_than_it_gives() -> None:
    stand = Stand()
    stand.simulator.faults.add(Lifetime(200.0, announced=False))
    report = await stand.probe().run()
    found = answers(report)
    assert "announced: 5m, but it was gone earlier" in found[Question.LIFETIME].words
    assert found[Question.KEEP_ALIVE_KEEPS].verdict is YES
    timeout = report.advice.session_timeout
    assert timeout is not None
    assert 195 <= timeout <= 200
    assert any("set session_timeout" in remark for remark in report.advice.remarks)
    stand.bystanders.check_all_is_as_it_was()


async def test_what_does_not_expire_in_time_proves_nothing() -> None:
    stand = Stand(session_timeout=3600.0)
    report = await stand.probe(limit=60.0).run()
    found = answers(report)
    for question in (
        Question.LIFETIME,
        Question.GET_KEEPS,
        Question.KEEP_ALIVE_KEEPS,
        Question.PUT_KEEPS,
    ):
        assert found[question].verdict is UNKNOWN
        assert "did not expire within 1m" in found[question].words
    assert found[Question.LIFETIME].words == "did not expire within 1m (announced: 1h)"
    assert found[Question.PUT_MOVES].verdict is YES
    assert report.advice.session_timeout is None
    assert any("such as 1h7m" in line for line in stand.display.said)
    assert report.took < 100
    stand.bystanders.check_all_is_as_it_was()


async def test_keep_alives_that_keep_nothing_alive_are_found_out() -> None:
    stand = Stand()
    stand.simulator.faults.add(Fail(500), route="*.keep_alive")
    report = await stand.probe().run()
    found = answers(report)
    assert found[Question.KEEP_ALIVE_KEEPS].verdict is NO
    assert found[Question.KEEP_ALIVE_MOVES].verdict is NO
    assert any("cannot help" in remark for remark in report.advice.remarks)


async def test_tokens_that_die_in_the_middle_cost_a_login_and_nothing_else() -> None:
    stand = Stand(token_max_age=20.0)
    report = await stand.probe().run()
    assert report.is_whole
    assert answers(report)[Question.PUT_KEEPS].verdict is YES
    assert len(stand.simulator.ledger.requests("session.create")) > 10
    stand.bystanders.check_all_is_as_it_was()


async def test_a_vcenter_of_old_is_spoken_to_as_it_wants() -> None:
    stand = Stand(dialects=[ServedDialect.REST])
    report = await stand.probe().run()
    assert (report.is_whole, report.dialect) == (True, "rest")
    stand.bystanders.check_all_is_as_it_was()


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_report_names_nobody_unless_asked(*, wanted: bool) -> None:
    stand = Stand()
    stand.simulator.faults.add(Fail(500), route="update_session_file.add")
    stand.simulator.faults.add(Fail(500), route="item.delete")
    report = await stand.probe().run()
    text = json.dumps(as_json(report, with_names=wanted))
    assert stand.simulator.password not in text
    names: list[Any] = ["vcenter.test", '"scratch"', "Injected fault"]
    assert [name in text for name in names] == [wanted] * len(names)
    assert answers(report)[Question.PUT_KEEPS].words == (
        "cannot add a file: internal server error (HTTP 500)"
    )
    assert len(report.left) == 6
    assert not report.is_whole
