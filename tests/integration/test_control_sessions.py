"""Sessions and holds over a real Unix socket, as their own user sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from tests.support.control import NO_OWNER, Caller, Control, caller, held, running_control
from tests.support.engine import EPOCH

TWO_MINUTES = {"owner": {"ttl": "2m"}}


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Control]:
    async with running_control(tmp_path, vcenters=("lab", "prod")) as control:
        yield control


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_a_hold_is_taken_once_and_then_updated(control: Control, me: Caller) -> None:
    path = f"/v1/sessions/lab/{control.open()}"

    first = await me.put(path, {**NO_OWNER, "note": "the nightly build"})
    again = await me.put(path, NO_OWNER)

    assert (first.status, again.status) == (201, 200)
    [hold] = again.body["holds"]
    assert hold["owner"] == "none"
    assert hold["note"] == "the nightly build"
    assert hold["since"] == first.body["holds"][0]["since"]


async def test_a_held_session_is_renewed_and_says_how_it_stands(
    control: Control, me: Caller
) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await me.put(path, {**TWO_MINUTES, "progress": 40})
    key = SessionKey("lab", Kind.UPDATE, session_id)
    await control.until(lambda: (session := control.registry.find(key)) and session.item)

    got = await me.get(path)

    assert got.status == 200
    session = got.body
    assert session["state"] == "ACTIVE"
    assert session["progress"] == 40
    assert 295 < session["slack"] <= 300
    now = EPOCH + control.clock.boot()
    assert seconds(session["deadline"]) == pytest.approx(now + session["slack"], abs=1)
    assert [outcome["outcome"] for outcome in session["outcomes"]] == ["ok"]
    assert session["last_error"] == ""
    assert session["library"]
    assert session["item"]


@pytest.mark.parametrize(
    ("owner", "label", "lifetime"),
    [
        (None, "none", 86400),
        ({"ttl": "2m"}, "ttl:120", 120),
        ({"ttl": 90.5}, "ttl:90.5", 90.5),
    ],
)
async def test_every_hold_ends_at_some_time(
    control: Control, me: Caller, owner: object, label: str, lifetime: float
) -> None:
    put = await me.put(f"/v1/sessions/lab/{control.open()}", {"owner": owner})

    [hold] = put.body["holds"]
    assert hold["owner"] == label
    assert seconds(hold["until"]) - seconds(hold["since"]) == pytest.approx(lifetime, abs=0.01)


async def test_max_lifetime_is_counted_from_the_last_put(control: Control, me: Caller) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, {**NO_OWNER, "max_lifetime": "1h"})
    control.clock.jump(1800)

    put = await me.put(path, {**NO_OWNER, "max_lifetime": "1h"})

    [hold] = put.body["holds"]
    assert seconds(hold["until"]) - seconds(hold["since"]) == pytest.approx(5400, abs=1)


async def test_a_time_limit_begins_anew_with_each_word(control: Control, me: Caller) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await me.put(path, TWO_MINUTES)
    for word in ({"progress": 10}, {"bytes_done": 20, "bytes_total": 100}, {}):
        control.clock.jump(100)
        assert (await me.patch(path, word)).status == 200
        control.registry.sweep()
        assert control.holds(session_id)
    control.clock.jump(100)
    await me.put(path, TWO_MINUTES)
    control.clock.jump(119)
    control.registry.sweep()
    assert control.holds(session_id)

    control.clock.jump(2)
    control.registry.sweep()

    assert (await me.get(path)).body["state"] == "RELEASED"


async def test_another_time_limit_replaces_the_first(control: Control, me: Caller) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, {**TWO_MINUTES, "progress": 5})

    put = await me.put(path, {"owner": {"ttl": "10m"}})

    assert put.status == 200
    [hold] = put.body["holds"]
    assert (hold["owner"], hold["progress"]) == ("ttl:600", 5)


async def test_progress_reaches_the_server(control: Control, me: Caller) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, NO_OWNER)

    patched = await me.patch(path, {"bytes_done": 3, "bytes_total": 4})
    await me.post(f"{path}/keep-alive")

    [hold] = patched.body["holds"]
    assert (hold["progress"], hold["bytes_done"], hold["bytes_total"]) == (75, 3, 4)
    assert (await me.get(path)).body["progress"] == 75


async def test_a_keep_alive_now_answers_with_the_outcome(control: Control, me: Caller) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, NO_OWNER)

    renewed = await me.post(f"{path}/keep-alive")

    assert (renewed.status, renewed.body["outcome"]) == (200, "ok")
    assert renewed.body["session"]["keep_alives"] >= 1


async def test_what_has_ended_is_not_renewed_and_begins_anew_with_a_hold(
    control: Control, me: Caller
) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, NO_OWNER)
    await me.delete(path)

    for answer in (
        await me.post(f"{path}/keep-alive"),
        await me.patch(path, {"progress": 1}),
        await me.delete(path),
    ):
        assert answer.status == 409
        assert answer.body["type"] == "urn:clkeepalived:problem:session-ended"
    assert (await me.put(path, NO_OWNER)).status == 201


async def test_a_release_ends_the_hold_and_nothing_on_the_server(
    control: Control, me: Caller
) -> None:
    session_id, path = await held(control, me)

    released = await me.delete(path)

    assert released.status == 200
    assert released.body["released"]["owner"] == "none"
    assert released.body["recorded"] is True
    assert (await me.get(path)).body["state"] == "RELEASED"
    assert control.simulators["lab"].ledger.requests("*.cancel", session_id=session_id) == []


async def test_where_there_are_several_holds_one_has_to_be_named(
    control: Control, me: Caller
) -> None:
    session_id, path = await held(control, me)
    await me.put(path, TWO_MINUTES)

    unclear = await me.delete(path)
    unknown = await me.delete(f"{path}?owner=pid:1")
    named = await me.delete(f"{path}?owner=ttl")

    assert unclear.status == 409
    assert sorted(unclear.body["candidates"]) == ["none", "ttl:120"]
    assert unknown.status == 404
    assert unknown.body["type"] == "urn:clkeepalived:problem:no-such-hold"
    assert named.status == 200
    assert [hold.owner.kind for hold in control.holds(session_id)] == [OwnerKind.NONE]


async def test_progress_goes_to_all_of_one_s_holds_or_to_the_one_named(
    control: Control, me: Caller
) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, NO_OWNER)
    await me.put(path, TWO_MINUTES)

    everywhere = await me.patch(path, {"progress": 10})
    there = await me.patch(f"{path}?owner=ttl:120", {"progress": 20})

    assert [hold["progress"] for hold in everywhere.body["holds"]] == [10, 10]
    assert [hold["progress"] for hold in there.body["holds"]] == [10, 20]


async def test_a_hold_of_the_configuration_is_seen_and_not_touched(
    control: Control, me: Caller
) -> None:
    key = control.held_by_a_file()
    path = f"/v1/sessions/lab/{key.id}"

    released = await me.delete(path)

    assert released.status == 409
    assert "/etc/clkeepalived/config.yaml" in released.body["detail"]
    [hold] = (await me.get(path)).body["holds"]
    assert (hold["owner"], hold["until"]) == ("file:/etc/clkeepalived/config.yaml", None)


async def test_the_kind_belongs_to_the_session(control: Control, me: Caller) -> None:
    session_id = control.open(kind=Kind.DOWNLOAD)
    path = f"/v1/sessions/lab/{session_id}"
    await me.put(f"{path}?kind=download", NO_OWNER)

    assert (await me.get(f"{path}?kind=download")).body["kind"] == "download"
    assert (await me.get(path)).status == 404


async def test_a_dash_means_the_only_vcenter(control: Control, me: Caller) -> None:
    session_id = control.open()

    put = await me.put(f"/v1/sessions/-/{session_id}", NO_OWNER)

    assert put.body["vcenter"] == "lab"
    assert (await me.get(f"/v1/sessions/lab/{session_id}")).status == 200


async def test_a_dash_among_several_names_them(two: Control) -> None:
    async with caller(two) as me:
        unclear = await me.put("/v1/sessions/-/some-id", NO_OWNER)
        unknown = await me.put("/v1/sessions/elsewhere/some-id", NO_OWNER)

    assert unclear.status == 409
    assert unclear.body["candidates"] == ["lab", "prod"]
    assert unknown.status == 404
    assert unknown.body["candidates"] == ["lab", "prod"]
    assert "elsewhere" in unknown.body["detail"]


async def test_lists_are_filtered(two: Control) -> None:
    async with caller(two) as me:
        ids = {name: two.open(name) for name in ("lab", "prod")}
        for name, session_id in ids.items():
            await me.put(f"/v1/sessions/{name}/{session_id}", NO_OWNER)
        released = two.open("lab")
        await me.put(f"/v1/sessions/lab/{released}", NO_OWNER)
        await me.delete(f"/v1/sessions/lab/{released}")

        async def listed(query: str) -> set[str]:
            answer = await me.get(f"/v1/sessions{query}")
            assert answer.status == 200
            return {session["id"] for session in answer.body["sessions"]}

        assert await listed("") == {*ids.values(), released}
        assert await listed("?vcenter=prod") == {ids["prod"]}
        assert await listed("?state=RELEASED") == {released}
        assert await listed("?state=ACTIVE&state=PENDING&vcenter=lab") == {ids["lab"]}
        assert await listed("?mine=true") == {*ids.values(), released}
        assert await listed("?vcenter=unheard-of") == set()


async def test_a_long_list_arrives_whole_while_others_are_served(
    control: Control, me: Caller
) -> None:
    ids = {control.open() for _ in range(350)}
    for session_id in ids:
        key = SessionKey("lab", Kind.UPDATE, session_id)
        control.registry.hold(key, Hold(0, Owner(OwnerKind.NONE), 0.0, None))

    async with caller(control) as other:
        (listed, status) = await asyncio.gather(me.get("/v1/sessions"), other.get("/v1/status"))

    assert {session["id"] for session in listed.body["sessions"]} == ids
    assert status.body["held"] == 350


async def test_vcenters_and_status(two: Control) -> None:
    async with caller(two) as me:
        session_id = two.open("prod")
        idle = await me.get("/v1/status")
        await me.put(f"/v1/sessions/prod/{session_id}", NO_OWNER)
        key = SessionKey("prod", Kind.UPDATE, session_id)
        await two.until(
            lambda: (session := two.registry.find(key)) and session.state is State.ACTIVE
        )

        status = await me.get("/v1/status")
        vcenters = await me.get("/v1/vcenters")

    assert (idle.body["idle"], idle.body["held"]) == (True, 0)
    assert (status.body["idle"], status.body["held"]) == (False, 1)
    assert status.body["states"] == {"ACTIVE": 1}
    assert status.body["is_admin"] is True
    names = [(each["name"], each["up"], each["sessions"]) for each in vcenters.body["vcenters"]]
    assert names == [("lab", True, 0), ("prod", True, 1)]


async def test_status_says_what_is_in_danger(control: Control, me: Caller) -> None:
    session_id = control.open()
    await me.put(f"/v1/sessions/lab/{session_id}", NO_OWNER)
    key = SessionKey("lab", Kind.UPDATE, session_id)
    await control.until(
        lambda: (session := control.registry.find(key)) and session.state is State.ACTIVE
    )
    # As if the machine had slept: until the engine looks at the clock again, nothing is renewed.
    control.clock.jump(200)
    at_risk = await me.get("/v1/status")
    control.clock.jump(200)
    overdue = await me.get("/v1/status")

    assert (at_risk.body["at_risk"], at_risk.body["overdue"]) == (1, 0)
    assert (overdue.body["at_risk"], overdue.body["overdue"]) == (0, 1)
