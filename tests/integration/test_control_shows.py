"""What the control socket shows of a session beyond its state: files, stalls, discovery."""

from __future__ import annotations

from typing import Any

import pytest

from keepalived.lease import events
from keepalived.lease.answers import FileInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import RequestKind, Session
from tests.support.control import NO_OWNER, Caller, Control, running_control, stream
from tests.support.users import NOBODY, needs_root, open_directory

DISCOVERED = Owner(OwnerKind.DISCOVERY, "lab")
FILES = (
    FileInfo("disk.vmdk", "PUSH", "TRANSFERRING", 3 << 20),
    FileInfo("image.ovf", "PULL", "ERROR", 0, None, "SSL error"),
    FileInfo("image.nvram", "PUSH", "READY", 512, 512),
)


def discovered(control: Control, session_id: str, uid: int = 0) -> SessionKey:
    """Hold a session as discovery does."""
    key = SessionKey("lab", Kind.UPDATE, session_id)
    control.registry.hold(key, Hold(uid, DISCOVERED, control.clock.boot(), None))
    return key


async def at_rest(control: Control, key: SessionKey) -> Session:
    """Wait for the end of a session's first round, which looks at its item last."""
    session = None

    def is_over() -> bool:
        nonlocal session
        session = control.registry.find(key)
        return (
            session is not None
            and session.item is not None
            and session.next_kind is RequestKind.KEEP_ALIVE
        )

    await control.until(is_over)
    assert session is not None
    return session


async def test_files_are_shown_one_by_one(control: Control, me: Caller) -> None:
    key = discovered(control, control.open())
    session = await at_rest(control, key)
    control.registry.commit(session._replace(files=FILES), ())

    shown = (await me.get(f"/v1/sessions/lab/{key.id}")).body

    assert shown["files"][1] == {
        "name": "image.ovf",
        "source_type": "PULL",
        "status": "ERROR",
        "bytes_transferred": 0,
        "size": None,
        "error_message": "SSL error",
    }
    assert [file["status"] for file in shown["files"]] == ["TRANSFERRING", "ERROR", "READY"]
    assert shown["bytes_transferred"] == (3 << 20) + 512


async def test_a_stall_is_shown_with_its_length_until_the_session_ends(
    control: Control, me: Caller
) -> None:
    key = discovered(control, control.open())
    path = f"/v1/sessions/lab/{key.id}"
    session = await at_rest(control, key)
    for stalled, expected in ((False, None), (True, pytest.approx(2460.0, abs=5))):
        moved_at = control.clock.boot() - 2460
        control.registry.commit(session._replace(moved_at=moved_at, stalled=stalled), ())
        assert (await me.get(path)).body["stalled"] == expected
    await me.delete(path)
    assert (await me.get(path)).body["stalled"] is None


async def test_stalls_are_heard_by_whoever_holds_the_session(control: Control, me: Caller) -> None:
    key = SessionKey("lab", Kind.UPDATE, control.open())
    async with stream(
        control, "PUT", f"/v1/sessions/lab/{key.id}", {"owner": {"connection": True}}
    ) as s:
        await s.line()
        control.bus.notify(events.SessionStalled(key, 1800.0))
        stalled = await s.until("session_stalled")
        control.bus.notify(events.SessionMoving(key))
        moving = await s.until("session_moving")
        control.bus.notify(events.TokenRefused(key, Owner(OwnerKind.NONE), fallback=False))
        refused = await s.until("token_refused")
    assert (stalled["id"], stalled["idle"]) == (key.id, 1800.0)
    assert moving["id"] == key.id
    assert (refused["owner"], refused["fallback"]) == ("none", False)


async def test_what_was_discovered_is_released_and_not_changed(
    control: Control, me: Caller
) -> None:
    key = discovered(control, control.open())
    path = f"/v1/sessions/lab/{key.id}"

    [hold] = (await me.get(path)).body["holds"]
    changed = [await me.patch(path, {"progress": 5}), await me.patch(path, {"token": "abc"})]
    changed.append(await me.patch(f"{path}?owner=discovery", {}))
    released = await me.delete(path)

    assert hold["owner"] == "discovery"
    assert [each.status for each in changed] == [409] * 3
    assert "discovery holds the session" in changed[0].body["detail"]
    assert (released.status, released.body["released"]["owner"]) == (200, "discovery")
    assert _state(control, key) is State.RELEASED


async def test_one_s_own_hold_is_meant_before_what_was_discovered(
    control: Control, me: Caller
) -> None:
    key = discovered(control, control.open())
    path = f"/v1/sessions/lab/{key.id}"
    await me.put(path, NO_OWNER)

    patched = await me.patch(path, {"progress": 5})
    first = await me.delete(path)
    second = await me.delete(f"{path}?owner=discovery")

    assert {hold["owner"]: hold["progress"] for hold in patched.body["holds"]} == {
        "discovery": None,
        "none": 5,
    }
    owners = [each.body["released"]["owner"] for each in (first, second)]
    assert owners == ["none", "discovery"]


async def test_what_was_discovered_is_not_cancelled_by_mistake(
    control: Control, me: Caller
) -> None:
    key = discovered(control, control.open())
    path = f"/v1/sessions/lab/{key.id}/cancel"
    refused = await me.post(path)
    forced = await me.post(f"{path}?force=true")
    assert (refused.status, refused.body["candidates"]) == (409, ["discovery"])
    assert forced.body["outcome"] == "ok"


@needs_root
async def test_nobody_else_sees_or_releases_what_was_discovered() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control:
            key = discovered(control, control.open())
            path = f"/v1/sessions/lab/{key.id}"
            user: dict[str, Any] = {"user": NOBODY, "group": NOBODY}
            alone = await control.curl("DELETE", path, **user)
            await control.curl("PUT", path, NO_OWNER, **user)
            named = await control.curl("DELETE", f"{path}?owner=discovery", **user)
            own = await control.curl("DELETE", path, **user)
            kinds = [hold.owner.kind for hold in control.holds(key.id)]

    assert (alone.status, named.status, own.status) == (404, 404, 200)
    assert kinds == [OwnerKind.DISCOVERY]


def _state(control: Control, key: SessionKey) -> State | None:
    session = control.registry.find(key)
    return session.state if session else None
