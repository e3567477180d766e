"""What is asked of a vCenter beside the keeper's own work: a few things at a time."""

from __future__ import annotations

import asyncio

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from tests.support.scripted import BOOT, Reply, as_usual, scripted

pytestmark = pytest.mark.looptime

TIMEOUT = 7.0


async def test_each_question_goes_out_as_it_was_asked_and_its_answer_comes_back() -> None:
    async with scripted() as engine:
        beside, kind = engine.keeper.beside, Kind.DOWNLOAD
        answers = [
            await beside.get(kind, "a", timeout=TIMEOUT),
            await beside.files(kind, "a", timeout=TIMEOUT),
            await beside.item("item-1", timeout=TIMEOUT),
            await beside.list(kind, timeout=TIMEOUT),
            await beside.cancel(kind, "a", timeout=TIMEOUT),
        ]
        sent = engine.vcenter.sent
        assert [(each.what, each.of, each.kind) for each in sent] == [
            ("get", "a", kind),
            ("files", "a", kind),
            ("item", "item-1", None),
            ("list", kind, None),
            ("cancel", "a", kind),
        ]
        assert {(each.timeout, each.token) for each in sent} == {(TIMEOUT, None)}
        assert [answer.value for answer in answers] == [as_usual(each).value for each in sent]
        assert {(answer.outcome, answer.sent_at) for answer in answers} == {(Outcome.OK, BOOT)}


async def test_two_go_out_at_once_and_the_rest_wait_without_losing_time() -> None:
    async with scripted() as engine:
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=5.0)
        asking = [
            engine.keeper.beside.get(Kind.UPDATE, str(number), timeout=TIMEOUT)
            for number in range(5)
        ]
        answers = await asyncio.gather(*asking)
        assert engine.vcenter.times("get") == [0.0, 0.0, 5.0, 5.0, 10.0]
        assert {answer.outcome for answer in answers} == {Outcome.OK}
