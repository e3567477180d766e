"""The sessions of the daemon's account on a vCenter: listed with their holders, and cancelled."""

from __future__ import annotations

import pytest

from keepalived.lease.model import Kind, SessionKey, State
from keepalived.simulator.faults import Fail
from tests.support.control import NO_OWNER, Caller, Control, caller, running_control
from tests.support.users import NOBODY, needs_root, open_directory


def state(control: Control, session_id: str) -> State | None:
    session = control.registry.find(SessionKey("lab", Kind.UPDATE, session_id))
    return None if session is None else session.state


async def test_what_is_held_and_what_is_not_are_listed(control: Control, me: Caller) -> None:
    held, abandoned = control.open(), control.open()
    await me.put(f"/v1/sessions/lab/{held}", {"owner": None, "note": "mine"})
    await control.until(lambda: state(control, held) is State.ACTIVE)
    key = SessionKey("lab", Kind.UPDATE, held)
    await control.until(lambda: (session := control.registry.find(key)) and session.item)

    answer = await me.get("/v1/vcenters/-/sessions")

    assert answer.status == 200
    assert answer.body["outcome"] == "ok"
    by_id = {each["id"]: each for each in answer.body["sessions"]}
    assert by_id.keys() == {held, abandoned}
    assert [each["owner"] for each in by_id[held]["holds"]] == ["none"]
    assert by_id[held]["since"] is not None
    assert by_id[abandoned]["holds"] == []
    assert by_id[abandoned]["since"] is None
    for each in by_id.values():
        assert (each["state"], each["library"], each["item"]) == ("ACTIVE", "library", "image.ova")
        assert each["expires_in"] == pytest.approx(300, abs=5)


async def test_a_vcenter_that_does_not_list_says_so(control: Control, me: Caller) -> None:
    control.simulators["lab"].faults.add(Fail(503), route="*.list")

    answer = await me.get("/v1/vcenters/lab/sessions")

    assert answer.status == 200
    assert answer.body["outcome"] == "unavailable"
    assert answer.body["sessions"] == []


async def test_a_cancelled_session_ends_at_once_and_tells_it(control: Control, me: Caller) -> None:
    session_id = control.open()
    await me.put(f"/v1/sessions/lab/{session_id}", NO_OWNER)
    await control.until(lambda: state(control, session_id) is State.ACTIVE)

    answer = await me.post(f"/v1/sessions/lab/{session_id}/cancel")

    assert (answer.status, answer.body["outcome"]) == (200, "ok")
    await control.until(lambda: state(control, session_id) is State.CANCELED)
    again = await me.post(f"/v1/sessions/lab/{session_id}/cancel")
    assert again.body["outcome"] == "not_allowed"


async def test_what_nobody_holds_can_be_cancelled(control: Control, me: Caller) -> None:
    session_id = control.open()

    answer = await me.post(f"/v1/sessions/lab/{session_id}/cancel")

    assert (answer.status, answer.body["outcome"]) == (200, "ok")


async def test_an_unknown_vcenter_is_a_problem(me: Caller) -> None:
    for method, path in (
        ("GET", "/v1/vcenters/elsewhere/sessions"),
        ("POST", "/v1/sessions/elsewhere/1/cancel"),
    ):
        answer = await me.send(method, path)
        assert (answer.status, answer.body["candidates"]) == (404, ["lab"])


@needs_root
async def test_others_holds_are_in_the_way_unless_forced() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control, caller(control) as me:
            path = f"/v1/sessions/lab/{control.open()}"
            await control.curl("PUT", path, NO_OWNER, user=NOBODY, group=NOBODY)

            refused = await me.post(f"{path}/cancel")
            forced = await me.post(f"{path}/cancel?force=true")

    assert (refused.status, refused.body["candidates"]) == (409, ["none"])
    assert f"user {NOBODY}" in refused.body["detail"]
    assert (forced.status, forced.body["outcome"]) == (200, "ok")


@needs_root
async def test_whoever_is_no_admin_lists_their_own_and_cancels_nothing() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control:
            theirs, other = control.open(), control.open()
            await control.curl(
                "PUT", f"/v1/sessions/lab/{theirs}", NO_OWNER, user=NOBODY, group=NOBODY
            )

            listed = await control.curl(
                "GET", "/v1/vcenters/lab/sessions", user=NOBODY, group=NOBODY
            )
            refused = [
                await control.curl(
                    "POST", f"/v1/sessions/lab/{each}/cancel?force=true", user=NOBODY, group=NOBODY
                )
                for each in (theirs, other)
            ]

    assert [each["id"] for each in listed.body["sessions"]] == [theirs]
    assert [each.status for each in refused] == [403, 403]
