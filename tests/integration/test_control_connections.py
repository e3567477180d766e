"""Holds that live with a connection."""

from __future__ import annotations

import asyncio

import pytest

from keepalived.lease.holds import OwnerKind
from keepalived.lease.model import State
from tests.support.control import LIFETIME, Caller, Control, caller, stream
from tests.support.programs import needs

CONNECTED = {"owner": {"connection": True}}
NAMED = {"owner": {"connection": "my-upload"}}


async def test_a_connection_s_stream_says_what_happens(control: Control) -> None:
    session_id = control.open()
    async with stream(control, "PUT", f"/v1/sessions/lab/{session_id}", CONNECTED) as lines:
        assert lines.status == 201
        session = await lines.line()
        assert session["id"] == session_id
        assert session["holds"][0]["owner"].startswith("connection:")

        renewed = await lines.until("renewed")
        assert renewed["first"] is True
        async with caller(control) as me:
            await me.delete(f"/v1/sessions/lab/{session_id}")

        ended = await lines.until("session_ended")
        assert (ended["id"], ended["state"]) == (session_id, "RELEASED")
        assert await lines.line() is None


async def test_a_cut_connection_lets_go(control: Control) -> None:
    session_id = control.open()
    async with stream(control, "PUT", f"/v1/sessions/lab/{session_id}", CONNECTED) as lines:
        await lines.line()
        assert len(control.holds(session_id)) == 1

    await control.until(lambda: control.state(session_id) is State.RELEASED)


async def test_a_connection_cut_while_the_disk_is_written_lets_go(control: Control) -> None:
    session_id = control.open()
    control.disk.is_ready.clear()
    async with caller(control) as me:
        put = asyncio.create_task(me.put(f"/v1/sessions/lab/{session_id}", CONNECTED))
        await control.until(lambda: control.holds(session_id))
        put.cancel()
        await asyncio.wait([put])
    control.disk.is_ready.set()

    await control.until(lambda: not control.holds(session_id))


@needs("curl")
async def test_a_client_that_is_killed_lets_go(control: Control) -> None:
    session_id = control.open()
    command = ["curl", "--silent", "--no-buffer", "--unix-socket", str(control.path)]
    command += ["--request", "PUT", "--data", '{"owner": {"connection": true}}']
    child = await asyncio.create_subprocess_exec(
        *command, f"http://localhost/v1/sessions/lab/{session_id}", stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await child.stdout.readline()

    child.kill()

    await control.until(lambda: control.state(session_id) is State.RELEASED)
    await child.communicate()


async def test_a_released_connection_s_stream_ends_while_others_hold_on(
    control: Control, me: Caller
) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await me.put(path, {"owner": None})
    async with stream(control, "PUT", path, NAMED) as lines:
        await lines.line()

        await me.delete(f"{path}?owner=connection:my-upload")

        released = await lines.until("hold_released")
        assert released["owner"] == "connection:my-upload"
        assert await lines.line() is None
    assert [hold.owner.kind for hold in control.holds(session_id)] == [OwnerKind.NONE]


async def test_whoever_comes_back_takes_the_hold_over(control: Control) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    async with stream(control, "PUT", path, NAMED) as first:
        await first.line()
        async with stream(control, "PUT", path, NAMED) as second:
            assert (first.status, second.status) == (201, 200)
            await second.line()
            while await first.line() is not None:
                pass
            await asyncio.sleep(0)
            assert len(control.holds(session_id)) == 1
        await control.until(lambda: not control.holds(session_id))


@pytest.mark.looptime
async def test_a_connection_has_one_lifetime_to_come_back_after_a_restart(control: Control) -> None:
    session_id, other_id = control.open(), control.open()
    path = f"/v1/sessions/lab/{session_id}"
    async with (
        stream(control, "PUT", path, NAMED) as lines,
        stream(control, "PUT", f"/v1/sessions/lab/{other_id}", CONNECTED) as others,
    ):
        await lines.line()
        await others.line()
        await control.stop()
        while await lines.line() is not None:
            pass
    assert len(control.holds(session_id)) == len(control.holds(other_id)) == 1

    restarted = control.clock.boot()
    await control.start()
    async with stream(control, "PUT", path, NAMED) as lines:
        assert lines.status == 200
        await lines.line()
        # What was learned of the server: a second less, since its `Date` is cut to whole seconds.
        await asyncio.sleep(LIFETIME - 2)
        assert len(control.holds(other_id)) == 1
        await control.until(lambda: not control.holds(other_id), seconds=10)
        assert control.clock.boot() - restarted >= LIFETIME - 1
        assert control.state(other_id) is State.RELEASED
        assert len(control.holds(session_id)) == 1
        assert control.state(session_id) is State.ACTIVE


async def test_a_hold_that_is_let_go_is_not_waited_for(control: Control) -> None:
    session_id = control.open()
    async with stream(control, "PUT", f"/v1/sessions/lab/{session_id}", NAMED) as lines:
        await lines.line()
        await control.stop()
    await control.start()

    async with caller(control) as me:
        assert (await me.delete(f"/v1/sessions/lab/{session_id}")).status == 200
    assert control.state(session_id) is State.RELEASED
