"""`async with keepalived.hold(...)`: beside an event loop that has other things to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

import keepalived

# At the top, where nothing is held up yet, as scripts on asyncio do.
from keepalived import SessionHold, SessionLost, State
from tests.support.held import Lab, lab, left_behind
from tests.support.pty import until
from tests.support.timeouts import TIMEOUT_SECONDS

LIFETIME, SHORT = 120.0, 2.0
"""The actual lifetime of sessions, and the configured one with which a hold renews every second."""


@pytest.fixture
def vcenter() -> Iterator[Lab]:
    with lab(session_timeout=LIFETIME, put_counts_as_activity=False) as served:
        yield served


def hold(vcenter: Lab, session_id: str, lifetime: float = LIFETIME) -> SessionHold:
    return keepalived.hold(
        vcenter.url, session_id, session_timeout=lifetime, **vcenter.credentials()
    )


async def gone(before: object) -> None:
    """Return once no more is open than was before; at once, or a moment later."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while left_behind() != before:  # noqa: ASYNC110 - no event says that a socket is closed
            await asyncio.sleep(0.01)


async def test_a_session_is_renewed_and_nothing_is_left_behind(vcenter: Lab) -> None:
    session_id, before = vcenter.open(), left_behind()
    async with hold(vcenter, session_id, SHORT) as held:
        for percent in range(20, 100, 20):
            held.progress(percent)
            await until(lambda: percent in vcenter.told(session_id))  # noqa: B023 - called at once
    await gone(before)
    assert vcenter.events(session_id) == ["created"]
    assert vcenter.told(session_id)[-1] == 80
    assert vcenter.logged_in() == 0


async def test_a_loop_that_is_held_up_by_a_checksum_loses_nothing(vcenter: Lab) -> None:
    session_id = vcenter.open()
    async with hold(vcenter, session_id, SHORT):
        vcenter.until_renewed(session_id)  # which holds the loop up
    assert vcenter.events(session_id) == ["created"]


async def test_the_end_is_heard_in_the_loop_of_the_block(vcenter: Lab) -> None:
    session_id, heard, threads = vcenter.open(), asyncio.Event(), []

    async def upload() -> None:
        async with hold(vcenter, session_id, SHORT) as held:
            held.on_end(lambda _end: threads.append(threading.current_thread()))
            held.on_end(lambda _end: heard.set())
            vcenter.cancel(session_id)
            await asyncio.wait_for(heard.wait(), TIMEOUT_SECONDS)
            assert held.state is State.CANCELED

    with pytest.raises(SessionLost) as lost:
        await upload()
    assert lost.value.state is State.CANCELED
    assert threads == [threading.current_thread()]


async def test_what_is_found_at_the_end_is_heard_before_the_block_is_left(vcenter: Lab) -> None:
    session_id, heard = vcenter.open(), []

    async def upload() -> None:
        async with hold(vcenter, session_id) as held:
            held.on_end(lambda end: heard.append(end.state))
            vcenter.cancel(session_id)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as failed:
        await upload()
    assert heard == [State.CANCELED]
    assert failed.value.__notes__ == [
        f"keepalived: update session {session_id} ended as CANCELED (canceled on the server)"
    ]


async def test_a_task_that_is_cancelled_leaves_nothing_behind(vcenter: Lab) -> None:
    session_id, before, entered = vcenter.open(), left_behind(), asyncio.Event()

    async def upload() -> None:
        async with hold(vcenter, session_id):
            entered.set()
            await asyncio.sleep(100_000)

    task = asyncio.create_task(upload())
    await asyncio.wait_for(entered.wait(), TIMEOUT_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(before)
    assert vcenter.logged_in() == 0


async def test_a_task_that_is_cancelled_while_entering_leaves_nothing_behind(vcenter: Lab) -> None:
    session_id, before = vcenter.open(), left_behind()
    held = keepalived.hold("http://127.0.0.1:9", session_id, token="anything")
    task = asyncio.create_task(held.__aenter__())
    await until(lambda: left_behind() != before)  # it has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(before)


async def test_a_session_that_is_none_is_said_at_once(vcenter: Lab) -> None:
    before = left_behind()
    with pytest.raises(SessionLost, match="NOT_FOUND"):
        await hold(vcenter, "nothing").__aenter__()
    await gone(before)


async def test_many_at_once(vcenter: Lab) -> None:
    ids, before = [vcenter.open() for _ in range(10)], left_behind()

    async def upload(session_id: str) -> None:
        async with hold(vcenter, session_id, SHORT) as held:
            await until(lambda: vcenter.renewals(session_id) >= 3)
            assert held.state is State.ACTIVE

    await asyncio.gather(*map(upload, ids))
    assert [vcenter.events(each) for each in ids] == [["created"]] * 10
    await gone(before)
