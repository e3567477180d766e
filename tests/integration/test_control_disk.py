"""Holds and the disk that they are written to: full, broken, slow."""

from __future__ import annotations

import asyncio
import errno

import aiohttp
import pytest

from tests.support.control import Caller, Control, caller, sleeper


async def test_a_full_disk_refuses_new_holds_and_keeps_the_old(
    control: Control, me: Caller
) -> None:
    held, new = control.open(), control.open()
    await me.put(f"/v1/sessions/lab/{held}", {"owner": {"ttl": "2m"}})
    control.disk.error = OSError(errno.ENOSPC, "No space left on device")

    with sleeper() as child:
        refused = await me.put(f"/v1/sessions/lab/{new}", {"owner": {"pid": child.pid}})
    renewed = await me.post(f"/v1/sessions/lab/{held}/keep-alive")
    released = await me.delete(f"/v1/sessions/lab/{held}")

    assert refused.status == 507
    assert "free space" in refused.body["detail"]
    assert control.holds(new) == ()
    assert len(control.watcher) == 0
    assert renewed.body["outcome"] == "ok"
    assert (released.status, released.body["recorded"]) == (200, False)
    assert "restart may bring the hold back" in released.body["detail"]


async def test_a_connection_that_could_not_be_written_down_is_told(control: Control) -> None:
    control.disk.error = OSError(errno.EIO, "Input/output error")
    async with caller(control) as me:
        refused = await me.put(
            f"/v1/sessions/lab/{control.open()}", {"owner": {"connection": True}}
        )

    assert refused.status == 503
    assert refused.headers["Content-Type"] == "application/problem+json"


async def test_a_hold_is_taken_even_if_whoever_asked_does_not_wait(control: Control) -> None:
    session_id = control.open()
    control.disk.is_ready.clear()
    async with caller(control) as me:
        put = asyncio.create_task(me.put(f"/v1/sessions/lab/{session_id}", {"owner": None}))
        await control.until(lambda: control.holds(session_id))
        put.cancel()
        with pytest.raises((asyncio.CancelledError, aiohttp.ClientError)):
            await put
    control.disk.is_ready.set()
    await control.until(lambda: control.disk.written)

    assert len(control.holds(session_id)) == 1
