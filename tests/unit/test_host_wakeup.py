"""The wake-up event: it wakes after its timeout, or at once when it is rung."""

from __future__ import annotations

import asyncio

import looptime
import pytest

from keepalived.host.wakeup import Wakeup

pytestmark = pytest.mark.looptime


async def test_it_wakes_when_the_time_is_over(looptime: looptime.LoopTimeProxy) -> None:
    await Wakeup().wait(30.0)
    assert looptime == 30


async def test_ringing_wakes_at_once(looptime: looptime.LoopTimeProxy) -> None:
    alarm = Wakeup()
    asyncio.get_running_loop().call_later(5.0, alarm.ring)
    await alarm.wait(30.0)
    assert looptime == 5


async def test_a_ring_before_the_wait_is_not_lost_and_counts_once(
    looptime: looptime.LoopTimeProxy,
) -> None:
    alarm = Wakeup()
    alarm.ring()
    alarm.ring()
    await alarm.wait(30.0)
    assert looptime == 0
    await alarm.wait(30.0)
    assert looptime == 30
