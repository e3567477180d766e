"""Requests other than the keeper's own: a few at a time."""

from __future__ import annotations

import asyncio

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from tests.support.scripted import BOOT, Reply, as_usual, scripted

pytestmark = pytest.mark.looptime

TIMEOUT = 7.0


async def test_a_request_goes_out_as_it_was_asked_and_its_answer_comes_back() -> None:
    async with scripted() as engine:
        keeper = engine.keeper
        answer = await keeper.aside(keeper.vcenter.list(Kind.DOWNLOAD, timeout=TIMEOUT))
        (sent,) = engine.vcenter.sent
        assert (sent.what, sent.of, sent.timeout) == ("list", Kind.DOWNLOAD, TIMEOUT)
        assert (answer.outcome, answer.sent_at) == (Outcome.OK, BOOT)


async def test_a_request_that_is_given_up_while_it_waits_is_never_sent() -> None:
    async with scripted() as engine:
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=5.0)
        keeper = engine.keeper

        async def ask(number: int) -> None:
            await keeper.aside(keeper.vcenter.get(Kind.UPDATE, str(number), timeout=TIMEOUT))

        asking = [asyncio.create_task(ask(number)) for number in range(3)]
        await asyncio.sleep(1)
        asking[2].cancel()
        await asyncio.wait(asking)
        assert [sent.of for sent in engine.vcenter.of("get")] == ["0", "1"]


async def test_two_go_out_at_once_and_the_rest_wait_without_losing_time() -> None:
    async with scripted() as engine:
        engine.vcenter.reply = lambda sent: Reply(value=as_usual(sent).value, took=5.0)
        keeper = engine.keeper
        asking = [
            keeper.aside(keeper.vcenter.get(Kind.UPDATE, str(number), timeout=TIMEOUT))
            for number in range(5)
        ]
        answers = await asyncio.gather(*asking)
        assert engine.vcenter.times("get") == [0.0, 0.0, 5.0, 5.0, 10.0]
        assert {answer.outcome for answer in answers} == {Outcome.OK}
