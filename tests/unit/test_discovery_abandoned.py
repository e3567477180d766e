"""Uploads of which nobody tells: which are taken for abandoned, and which only look like it."""

from __future__ import annotations

import asyncio

import pytest

from keepalived.lease.model import State
from tests.support.discovering import (
    HOUR,
    LOOK,
    MINUTE,
    Uploader,
    discovering,
    scouting,
    scouting_an_upload,
    sent,
)
from tests.support.engine import simulator_in_loop

pytestmark = pytest.mark.looptime

LIFETIME = 300.0


async def test_an_uploader_that_was_killed_is_let_go_and_its_item_is_free_again() -> None:
    async with scouting_an_upload() as (scout, uploader):
        upload = await sent(uploader, 20 * MINUTE)
        upload.interrupt()
        await asyncio.sleep(2 * HOUR - LIFETIME)
        assert scout.finds(uploader.id)
        await asyncio.sleep(2 * LIFETIME)
        assert scout.state(uploader.id) is State.RELEASED
        await asyncio.sleep(LIFETIME)
        assert uploader.is_free
        assert not uploader.is_there
        # It was let go, and not cancelled.
        assert scout.asked("*.cancel") == 0


async def test_how_long_a_transfer_may_stand_still_is_a_setting() -> None:
    async with scouting_an_upload(stall_timeout="20m") as (scout, uploader):
        await sent(uploader, 20 * MINUTE)
        # The connection stays open, and nothing comes: a frozen machine looks like this.
        await asyncio.sleep(20 * MINUTE + LIFETIME)
        assert scout.state(uploader.id) is State.RELEASED


async def test_an_abandoned_session_that_somebody_keeps_alive_is_not_taken_again() -> None:
    simulator = simulator_in_loop()
    uploader = Uploader(simulator)
    async with (
        scouting(simulator, discovering(stall_timeout="20m")) as scout,
        scouting(simulator) as patient,
    ):
        upload = await sent(uploader, 10 * MINUTE)
        upload.interrupt()
        for _ in range(9):
            await asyncio.sleep(10 * MINUTE)
            scout.engine.registry.sweep()
        assert patient.finds(uploader.id)
        # More than an hour after its end, it is not even remembered.
        assert not scout.finds(uploader.id)
        assert len(scout.engine.registry) == 0


async def test_a_checksum_before_the_first_byte_and_between_two_files() -> None:
    # The rule is tried where it is far stricter than the usual two hours.
    async with scouting_an_upload(stall_timeout="35m") as (scout, uploader):
        await asyncio.sleep(33 * MINUTE)
        first = await sent(uploader, 10 * MINUTE, "first.vmdk")
        first.finish()
        await asyncio.sleep(33 * MINUTE)
        assert scout.finds(uploader.id)
        second = await sent(uploader, 10 * MINUTE, "second.vmdk")
        second.finish()
        uploader.complete()
        await asyncio.sleep(LIFETIME)
        assert scout.state(uploader.id) is State.DONE
        assert uploader.is_free


async def test_a_checksum_before_the_first_byte_has_no_limit_but_the_hold_s_own() -> None:
    async with scouting_an_upload(stall_timeout="10m") as (scout, uploader):
        await asyncio.sleep(3 * HOUR)
        assert scout.finds(uploader.id)


async def test_a_file_that_the_server_looks_through_for_long() -> None:
    async with scouting_an_upload(stall_timeout="20m") as (scout, uploader):
        upload = await sent(uploader, 10 * MINUTE)
        upload.finish()
        uploader.validating()
        await asyncio.sleep(3 * HOUR)
        assert scout.finds(uploader.id)


async def test_a_file_that_the_server_fetches_for_long() -> None:
    simulator = simulator_in_loop(pull_duration=3 * HOUR)
    uploader = Uploader(simulator)
    async with scouting(simulator, discovering(stall_timeout="20m")) as scout:
        upload = await sent(uploader, 10 * MINUTE)
        upload.finish()
        uploader.pull()
        uploader.complete()
        await asyncio.sleep(3 * HOUR - MINUTE)
        assert scout.finds(uploader.id)
        await asyncio.sleep(MINUTE + LIFETIME)
        assert scout.state(uploader.id) is State.DONE


async def test_two_discovering_daemons_leave_each_other_s_work_alone() -> None:
    simulator = simulator_in_loop()
    first, second = Uploader(simulator, "a.ova"), Uploader(simulator, "b.ova")
    ours, theirs = discovering({"items": ["a.*"]}), discovering({"items": ["b.*"]})
    async with scouting(simulator, ours) as one, scouting(simulator, theirs) as other:
        for uploader, scout, left in ((first, one, (0, 1)), (second, other, (0, 0))):
            upload = await sent(uploader, 10 * MINUTE)
            upload.finish()
            uploader.complete()
            await asyncio.sleep(LIFETIME)
            assert scout.state(uploader.id) is State.DONE
            assert (one.engine.registry.held(), other.engine.registry.held()) == left
        assert simulator.ledger.requests("*.cancel") == []


async def test_two_daemons_that_both_discover_everything_disturb_nobody() -> None:
    simulator = simulator_in_loop()
    first, second = Uploader(simulator), Uploader(simulator)
    async with scouting(simulator) as one, scouting(simulator) as other:
        await asyncio.sleep(LOOK)
        first.complete()
        await asyncio.sleep(HOUR)
        for scout in (one, other):
            assert scout.state(first.id) is State.DONE
            assert scout.finds(second.id)
            assert scout.ear.heard == []
        assert second.is_there
        assert simulator.ledger.requests("*.cancel") == []
