"""Holds that live with a process, or for a time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from keepalived.control.limits import DEFAULT_LIMITS
from keepalived.host.processes import process
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from tests.support.control import LIFETIME, Caller, Control, caller, running_control, sleeper
from tests.support.users import NOBODY, needs_root

NO_PID = 2**22 - 1


def hold_before_the_start(control: Control, owner: Owner, until: float | None = None) -> str:
    """Let the registry know of a hold, as it does from the store."""
    session_id = control.open()
    key = SessionKey("lab", Kind.UPDATE, session_id)
    control.registry.hold(key, Hold(os.getuid(), owner, control.clock.boot(), until))
    return session_id


# -- processes


async def test_a_hold_dies_with_its_process(control: Control, me: Caller) -> None:
    ids = [control.open(), control.open()]
    with sleeper() as child:
        for session_id in ids:
            put = await me.put(f"/v1/sessions/lab/{session_id}", {"owner": {"pid": child.pid}})
            assert put.status == 201
            assert put.body["holds"][0]["owner"] == f"pid:{child.pid}"
        assert len(control.watcher) == 1

        child.send_signal(signal.SIGKILL)

        await control.until(lambda: all(control.state(each) is State.RELEASED for each in ids))
    assert len(control.watcher) == 0


@pytest.mark.looptime
async def test_the_item_of_an_uploader_that_was_killed_is_free_again(
    control: Control, me: Caller
) -> None:
    library = control.simulators["lab"].library
    session_id = control.open()
    item = library.catalog.item(library.sessions.get(Kind.UPDATE, session_id).item_id)
    with sleeper() as uploader:
        owner = {"owner": {"pid": uploader.pid}}
        assert (await me.put(f"/v1/sessions/lab/{session_id}", owner)).status == 201
        await asyncio.sleep(3 * LIFETIME)
        library.settle()
        assert item.active_update_session == session_id

        uploader.kill()
        uploader.wait()  # from here on its pidfd is ready: no time on the fake clock is needed

        await control.until(lambda: control.state(session_id) is State.RELEASED)
    await asyncio.sleep(LIFETIME)
    library.settle()
    assert item.active_update_session is None


async def test_others_hold_on_when_one_process_dies(control: Control, me: Caller) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    with sleeper() as first, sleeper() as second:
        await me.put(path, {"owner": {"pid": first.pid}})
        await me.put(path, {"owner": {"pid": second.pid}})

        first.kill()

        await control.until(lambda: len(control.holds(session_id)) == 1)
        assert control.state(session_id) is not State.RELEASED
        assert (await me.delete(path)).status == 200


async def test_a_pid_s_hold_is_one_however_often_it_is_put(control: Control, me: Caller) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    with sleeper() as child:
        first = await me.put(path, {"owner": {"pid": child.pid}})
        again = await me.put(path, {"owner": {"pid": child.pid}})
        released = await me.delete(f"{path}?owner=pid:{child.pid}")

    assert (first.status, again.status, released.status) == (201, 200, 200)
    assert len(control.watcher) == 0


async def test_a_watch_ends_with_the_session(control: Control, me: Caller) -> None:
    with sleeper() as child:
        await me.put("/v1/sessions/lab/unknown-to-the-server", {"owner": {"pid": child.pid}})

        await control.until(lambda: len(control.watcher) == 0)

    assert control.state("unknown-to-the-server") is State.NOT_FOUND


async def test_a_process_that_ended_before_owns_nothing(control: Control, me: Caller) -> None:
    session_id = control.open()

    refused = await me.put(f"/v1/sessions/lab/{session_id}", {"owner": {"pid": NO_PID}})

    assert refused.status == 409
    assert refused.body["type"] == "urn:clkeepalived:problem:process-not-usable"
    assert "ttl" in refused.body["detail"]
    assert control.holds(session_id) == ()


async def test_a_process_that_ends_while_the_disk_is_written_owns_nothing(
    control: Control, me: Caller
) -> None:
    session_id = control.open()
    control.disk.is_ready.clear()
    with sleeper() as child:
        put = asyncio.create_task(
            me.put(f"/v1/sessions/lab/{session_id}", {"owner": {"pid": child.pid}})
        )
        await control.until(lambda: len(control.watcher) == 1)
        child.kill()
        await control.until(lambda: len(control.watcher) == 0)
    control.disk.is_ready.set()

    assert (await put).status == 409
    assert control.holds(session_id) == ()


async def test_a_process_that_becomes_another_program_still_holds(
    control: Control, me: Caller
) -> None:
    session_id = control.open()
    child = await asyncio.create_subprocess_exec(
        *("sh", "-c", "read line; exec sh -c 'echo after; exec sleep 60'"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    await me.put(f"/v1/sessions/lab/{session_id}", {"owner": {"pid": child.pid}})

    child.stdin.write(b"go on\n")
    await child.stdout.readline()

    assert len(control.holds(session_id)) == 1
    child.kill()
    await control.until(lambda: control.state(session_id) is State.RELEASED)
    await child.communicate()


@needs_root
async def test_a_caller_in_a_container_cannot_name_a_pid(control: Control) -> None:
    session_id = control.open()

    refused = await control.curl(
        "PUT",
        f"/v1/sessions/lab/{session_id}",
        {"owner": {"pid": 1}},
        prefix=["unshare", "--pid", "--fork"],
    )

    assert refused.status == 409
    assert "another PID namespace" in refused.body["detail"]
    assert "shareProcessNamespace" in refused.body["detail"]


async def test_no_more_processes_are_watched_than_allowed(tmp_path: Path) -> None:
    limits = replace(DEFAULT_LIMITS, processes=1)
    async with running_control(tmp_path, limits=limits) as control, caller(control) as me:
        with sleeper() as first, sleeper() as second:
            path = f"/v1/sessions/lab/{control.open()}"
            await me.put(path, {"owner": {"pid": first.pid}})

            refused = await me.put(path, {"owner": {"pid": second.pid}})

            assert refused.status == 503
            assert "limit" in refused.body["detail"]
            assert len((await me.get(path)).body["holds"]) == 1


async def test_after_a_restart_processes_are_watched_again(control: Control) -> None:
    await control.stop()
    with sleeper() as child:
        owner = Owner(OwnerKind.PROCESS, str(process(child.pid)))
        session_id = hold_before_the_start(control, owner)
        await control.start()
        assert len(control.holds(session_id)) == 1

        child.kill()

        await control.until(lambda: control.state(session_id) is State.RELEASED)


@pytest.mark.parametrize("difference", [{"start": 1}, {"boot_id": "before"}, {"pid": NO_PID}])
async def test_after_a_restart_another_process_of_that_number_owns_nothing(
    control: Control, difference: dict[str, int | str]
) -> None:
    await control.stop()
    with sleeper() as child:
        other = replace(process(child.pid), **difference)  # type: ignore[arg-type]
        session_id = hold_before_the_start(control, Owner(OwnerKind.PROCESS, str(other)))

        await control.start()

        assert control.state(session_id) is State.RELEASED


async def test_an_owner_that_cannot_be_read_owns_nothing(control: Control) -> None:
    await control.stop()
    session_id = hold_before_the_start(control, Owner(OwnerKind.PROCESS, "scribbled over"))

    await control.start()

    assert control.state(session_id) is State.RELEASED


async def test_a_process_that_cannot_be_watched_again_keeps_its_hold(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running_control(tmp_path, limits=replace(DEFAULT_LIMITS, processes=0)) as control:
        await control.stop()
        owner = Owner(OwnerKind.PROCESS, str(process(os.getpid())))
        session_id = hold_before_the_start(control, owner)

        await control.start()

        assert len(control.holds(session_id)) == 1
        assert "process_not_watched" in "".join(capfd.readouterr())


@needs_root
async def test_admins_may_name_processes_of_others(control: Control, me: Caller) -> None:
    with subprocess.Popen(["sleep", "60"], user=NOBODY) as child:  # noqa: ASYNC220 - short
        try:
            path = f"/v1/sessions/lab/{control.open()}"
            assert (await me.put(path, {"owner": {"pid": child.pid}})).status == 201
        finally:
            child.kill()


# -- time limits


async def test_a_time_limit_runs_on_through_a_restart(control: Control, me: Caller) -> None:
    session_id = control.open()
    await me.put(f"/v1/sessions/lab/{session_id}", {"owner": {"ttl": "2m"}})
    await control.stop()
    control.clock.jump(60)
    await control.start()
    control.registry.sweep()
    assert len(control.holds(session_id)) == 1

    async with caller(control) as again:
        await again.patch(f"/v1/sessions/lab/{session_id}", {})
    control.clock.jump(119)
    control.registry.sweep()
    assert len(control.holds(session_id)) == 1
    control.clock.jump(2)
    control.registry.sweep()

    assert control.state(session_id) is State.RELEASED
