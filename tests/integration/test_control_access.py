"""Who may what: real users of this machine at a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keepalived.control.limits import DEFAULT_LIMITS, Limits
from keepalived.settings import Reloaded
from tests.support.control import NO_OWNER, Answered, Control, caller, running_control, stream
from tests.support.users import NOBODY, SOMEBODY, needs_root, open_directory

pytestmark = needs_root

ADMINS = 4242


class User:
    """A user of the machine."""

    def __init__(self, control: Control, uid: int, groups: tuple[int, ...] = ()) -> None:
        self._control = control
        self.account: dict[str, Any] = {"user": uid, "group": uid, "extra_groups": groups}

    async def get(self, path: str) -> Answered:
        return await self._control.curl("GET", path, **self.account)

    async def put(self, path: str, body: object) -> Answered:
        return await self._control.curl("PUT", path, body, **self.account)

    async def patch(self, path: str, body: object) -> Answered:
        return await self._control.curl("PATCH", path, body, **self.account)

    async def delete(self, path: str) -> Answered:
        return await self._control.curl("DELETE", path, **self.account)

    async def post(self, path: str) -> Answered:
        return await self._control.curl("POST", path, **self.account)

    @contextmanager
    def process(self) -> Iterator[int]:
        """A process of theirs."""
        with subprocess.Popen(["sleep", "60"], **self.account) as child:
            try:
                yield child.pid
            finally:
                child.kill()

    @asynccontextmanager
    async def listening(self, path: str) -> AsyncIterator[asyncio.StreamReader]:
        """A stream that they read."""
        command = ["curl", "--silent", "--no-buffer", "--unix-socket", str(self._control.path)]
        child = await asyncio.create_subprocess_exec(
            *command, f"http://localhost{path}", stdout=asyncio.subprocess.PIPE, **self.account
        )
        assert child.stdout is not None
        try:
            yield child.stdout
        finally:
            child.kill()
            await child.communicate()


@asynccontextmanager
async def served(limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Control]:
    with open_directory() as directory:
        async with running_control(
            directory, vcenters=("lab", "prod"), admin_gid=ADMINS, limits=limits
        ) as control:
            yield control


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with served() as control:
        yield control


@pytest.fixture
def alice(control: Control) -> User:
    return User(control, NOBODY)


@pytest.fixture
def bob(control: Control) -> User:
    return User(control, SOMEBODY)


def told_apart(first: Answered, second: Answered, *ids: str) -> bool:
    """Whether two answers differ in more than the id that was asked for."""
    texts = [json.dumps([answer.status, answer.body]) for answer in (first, second)]
    for session_id in ids:
        texts = [text.replace(session_id, "ID") for text in texts]
    return texts[0] != texts[1]


async def test_a_session_of_somebody_else_is_one_that_nobody_knows(
    control: Control, alice: User, bob: User
) -> None:
    session_id, guess = control.open(), "another-id"
    path, unknown = f"/v1/sessions/lab/{session_id}", f"/v1/sessions/lab/{guess}"
    assert (await alice.put(path, {"owner": None, "note": "secret"})).status == 201
    before = control.holds(session_id)

    for there, nowhere in (
        (await bob.get(path), await bob.get(unknown)),
        (await bob.patch(path, {"progress": 99}), await bob.patch(unknown, {"progress": 99})),
        (await bob.delete(path), await bob.delete(unknown)),
        (
            await bob.delete(f"{path}?owner=none&uid={NOBODY}"),
            await bob.delete(f"{unknown}?owner=none&uid={NOBODY}"),
        ),
        (await bob.post(f"{path}/keep-alive"), await bob.post(f"{unknown}/keep-alive")),
    ):
        assert there.status == 404
        assert not told_apart(there, nowhere, session_id, guess)

    assert control.holds(session_id) == before
    assert (await bob.get("/v1/sessions")).body == {"sessions": []}
    assert (await alice.get(path)).status == 200


async def test_two_users_on_one_session_see_their_own_holds(
    control: Control, alice: User, bob: User
) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await alice.put(path, {"owner": None, "note": "secret"})
    taken = await bob.put(path, {"owner": {"ttl": "2m"}})

    assert taken.status == 201
    assert [hold["uid"] for hold in taken.body["holds"]] == [SOMEBODY]
    patched = await bob.patch(path, {"progress": 7})
    assert [hold["progress"] for hold in patched.body["holds"]] == [7]
    assert (await bob.delete(f"{path}?owner=none")).status == 404
    assert (await bob.delete(f"{path}?uid={NOBODY}")).status == 404
    assert (await bob.delete(path)).status == 200

    assert [hold.uid for hold in control.holds(session_id)] == [NOBODY]
    assert (await bob.get(path)).status == 404
    [hold] = (await alice.get(path)).body["holds"]
    assert hold["progress"] is None


async def test_an_ended_session_is_shown_to_whoever_held_it_last(
    control: Control, alice: User, bob: User
) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await alice.put(path, NO_OWNER)
    await bob.put(path, NO_OWNER)
    await bob.delete(path)
    await alice.delete(path)

    assert (await alice.get(path)).body["state"] == "RELEASED"
    assert (await bob.get(path)).status == 404

    await bob.put(path, NO_OWNER)
    assert (await alice.get(path)).status == 404
    assert (await bob.get(path)).body["state"] != "RELEASED"


async def test_status_and_vcenters_count_one_s_own(
    control: Control, alice: User, bob: User
) -> None:
    await alice.put(f"/v1/sessions/lab/{control.open()}", NO_OWNER)

    status, vcenters = await bob.get("/v1/status"), await bob.get("/v1/vcenters")

    assert (status.body["idle"], status.body["held"], status.body["states"]) == (True, 0, {})
    assert status.body["is_admin"] is False
    for listed in (status.body["vcenters"], vcenters.body["vcenters"]):
        assert [(each["name"], each["sessions"]) for each in listed] == [("lab", 0), ("prod", 0)]
        assert all(each["in_flight"] is each["utilization"] is None for each in listed)
    assert (await alice.get("/v1/status")).body["held"] == 1


async def test_events_are_heard_by_whom_they_concern(
    control: Control, alice: User, bob: User
) -> None:
    shared, own = control.open(), control.open()
    async with bob.listening("/v1/events") as heard:
        await heard.readline()
        await alice.put(f"/v1/sessions/lab/{shared}", NO_OWNER)
        await alice.put(f"/v1/sessions/lab/{own}", NO_OWNER)
        await alice.post(f"/v1/sessions/lab/{own}/keep-alive")
        await bob.put(f"/v1/sessions/lab/{shared}", NO_OWNER)
        await alice.delete(f"/v1/sessions/lab/{shared}")
        await alice.delete(f"/v1/sessions/lab/{own}")
        await bob.delete(f"/v1/sessions/lab/{shared}")

        events: list[dict[str, Any]] = []
        async with asyncio.timeout(120):
            while not events or events[-1]["event"] != "session_ended":
                events.append(json.loads(await heard.readline()))

    assert {event["id"] for event in events} == {shared}
    assert {event["uid"] for event in events if "uid" in event} == {SOMEBODY}


async def test_a_process_of_somebody_else_is_one_that_does_not_exist(
    control: Control, alice: User, bob: User
) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    with alice.process() as pid:
        hers = await bob.put(path, {"owner": {"pid": pid}})
        nobodys = await bob.put(path, {"owner": {"pid": 2**22 - 1}})
        roots = await bob.put(path, {"owner": {"pid": 1}})

    assert hers.status == nobodys.status == roots.status == 409
    assert not told_apart(hers, nobodys, str(pid), str(2**22 - 1))
    with bob.process() as pid:
        assert (await bob.put(path, {"owner": {"pid": pid}})).status == 201


async def test_nobody_makes_the_daemon_open_a_path(
    control: Control, alice: User, tmp_path: Path
) -> None:
    bait = tmp_path / "bait"
    os.mkfifo(bait)  # opening it would hang
    for owner in ({"file": str(bait)}, {"path": str(bait)}, str(bait), {"connection": str(bait)}):
        refused = await alice.put(f"/v1/sessions/lab/{control.open()}", {"owner": owner})
        assert refused.status == 400
    named = await alice.put("/v1/sessions/lab/..%2F..%2Fetc%2Fpasswd", NO_OWNER)
    assert named.status in (400, 404)


async def test_only_admins_reload(control: Control, alice: User) -> None:
    asked = []

    async def reload() -> Reloaded:
        asked.append(True)
        return Reloaded(applied=True, problems=("http: restart needed",))

    control.reload = reload
    refused = await alice.post("/v1/reload")
    assert refused.status == 403
    assert asked == []

    admin = User(control, NOBODY, groups=(ADMINS,))
    assert (await admin.post("/v1/reload")).body == {"refused": ["http: restart needed"]}
    assert (await control.curl("POST", "/v1/reload")).status == 200


async def test_a_member_of_the_admin_group_sees_and_does_all(
    control: Control, alice: User, bob: User
) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await alice.put(path, NO_OWNER)
    await bob.put(path, NO_OWNER)
    for admin in (
        User(control, 60001, groups=(ADMINS,)),
        User(control, ADMINS),  # as their primary group
        User(control, 0),
    ):
        seen = await admin.get(path)
        assert [hold["uid"] for hold in seen.body["holds"]] == [NOBODY, SOMEBODY]
        assert (await admin.get("/v1/status")).body["held"] == 1
        assert (await admin.get("/v1/sessions?mine=true")).body == {"sessions": []}
        assert (await admin.post(f"{path}/keep-alive")).status == 200

    unclear = await admin.delete(path)
    assert unclear.status == 409
    assert str(SOMEBODY) in unclear.body["detail"]
    assert (await admin.delete(f"{path}?uid={SOMEBODY}")).status == 200
    assert (await admin.delete(path)).body["released"]["uid"] == NOBODY


async def test_the_log_says_who_did_what(
    control: Control, alice: User, capfd: pytest.CaptureFixture[str]
) -> None:
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await alice.put(path, NO_OWNER)
    await alice.post(f"{path}/keep-alive")
    await alice.delete(path)

    output = "".join(capfd.readouterr())
    for event in ("hold_taken_by", "renewed_by", "hold_released_by"):
        [line] = [line for line in output.splitlines() if event in line]
        assert f"uid={NOBODY}" in line
        assert "pid=" in line
        assert session_id in line


# -- limits


async def test_one_user_s_connections_do_not_keep_others_out() -> None:
    limits = replace(DEFAULT_LIMITS, connections=6, connections_reserved=2, connections_per_uid=2)
    async with served(limits) as control:
        alice, bob = User(control, NOBODY), User(control, SOMEBODY)
        async with alice.listening("/v1/events") as one, alice.listening("/v1/events") as two:
            await one.readline()
            await two.readline()

            refused = await alice.get("/v1/status")
            assert refused.status == 429
            assert "2 connections" in refused.body["detail"]
            assert (await bob.get("/v1/status")).status == 200

            async with bob.listening("/v1/events") as three, bob.listening("/v1/events") as four:
                await three.readline()
                await four.readline()
                assert (await User(control, 60001).get("/v1/status")).status == 503
                assert (await User(control, 0).get("/v1/status")).status == 200
        async with asyncio.timeout(120):
            while (await alice.get("/v1/status")).status != 200:
                pass


async def test_sessions_of_one_user_are_limited_the_ended_ones_included() -> None:
    limits = replace(DEFAULT_LIMITS, sessions=5, sessions_per_uid=2, holds_per_session=2)
    async with served(limits) as control:
        alice, bob = User(control, NOBODY), User(control, SOMEBODY)
        first, second, third = (f"/v1/sessions/lab/{control.open()}" for _ in range(3))
        await alice.put(first, NO_OWNER)
        await alice.put(second, NO_OWNER)
        await alice.delete(second)

        refused = await alice.put(third, NO_OWNER)
        assert refused.status == 429
        assert (await alice.put(first, {"owner": {"ttl": "2m"}})).status == 201
        with alice.process() as pid:
            assert (await alice.put(first, {"owner": {"pid": pid}})).status == 429
        assert (await alice.put(first, NO_OWNER)).status == 200
        assert (await alice.put(second, NO_OWNER)).status == 201
        assert (await bob.put(third, NO_OWNER)).status == 201

        control.clock.jump(7200)
        await bob.delete(third)
        control.clock.jump(7200)
        control.registry.sweep()
        assert (await bob.put(f"/v1/sessions/lab/{control.open()}", NO_OWNER)).status == 201


async def test_all_sessions_together_are_limited() -> None:
    async with served(replace(DEFAULT_LIMITS, sessions=1)) as control:
        root = User(control, 0)
        path = f"/v1/sessions/lab/{control.open()}"
        await root.put(path, NO_OWNER)

        assert (await root.put(f"/v1/sessions/lab/{control.open()}", NO_OWNER)).status == 507
        assert (await root.put(path, NO_OWNER)).status == 200


async def test_the_holds_of_one_user_and_of_all_are_limited() -> None:
    limits = replace(DEFAULT_LIMITS, holds=4, holds_per_uid=2)
    async with served(limits) as control:
        root, alice, bob = User(control, 0), User(control, NOBODY), User(control, SOMEBODY)
        path, other = (f"/v1/sessions/lab/{control.open()}" for _ in range(2))
        assert (await alice.put(path, NO_OWNER)).status == 201
        assert (await alice.put(path, {"owner": {"ttl": "2m"}})).status == 201

        refused = await alice.put(other, NO_OWNER)
        assert refused.status == 429
        assert "has 2 holds, which is the limit" in refused.body["detail"]
        assert (await alice.put(path, {"owner": {"ttl": "3m"}})).status == 200
        for owner in ({"ttl": "2m"}, None):
            assert (await bob.put(other, {"owner": owner})).status == 201
        assert (await root.put(path, NO_OWNER)).status == 507
        await alice.delete(f"{path}?owner=ttl")
        assert (await root.put(path, NO_OWNER)).status == 201


async def test_the_holds_on_one_session_are_limited() -> None:
    async with served(replace(DEFAULT_LIMITS, holds_per_session_in_all=1)) as control:
        path = f"/v1/sessions/lab/{control.open()}"
        assert (await User(control, NOBODY).put(path, NO_OWNER)).status == 201
        refused = await User(control, 0).put(path, NO_OWNER)
        assert refused.status == 429
        assert "they keep it alive" in refused.body["detail"]


async def test_the_texts_of_one_user_and_of_all_are_limited() -> None:
    limits = replace(DEFAULT_LIMITS, hold_bytes=1500, hold_bytes_per_uid=600)
    async with served(limits) as control:
        root, alice, bob = User(control, 0), User(control, NOBODY), User(control, SOMEBODY)
        path, other = (f"/v1/sessions/lab/{control.open()}" for _ in range(2))
        long, short = ({**NO_OWNER, "note": "x" * length} for length in (400, 100))
        assert (await alice.put(path, long)).status == 201

        assert (await alice.put(other, long)).status == 429
        assert (await alice.patch(path, {"token": "t" * 300})).status == 429
        assert (await alice.put(other, short)).status == 201
        assert (await alice.put(path, short)).status == 200
        assert (await alice.put(other, long)).status == 200

        assert (await bob.put(path, long)).status == 201
        assert (await root.put(path, long)).status == 201
        refused = await root.put(other, long)
        assert refused.status == 507
        assert "at most 1500 bytes" in refused.body["detail"]
        assert (await root.put(other, NO_OWNER)).status == 201


async def test_processes_of_one_user_are_limited() -> None:
    async with served(replace(DEFAULT_LIMITS, processes_per_uid=1)) as control:
        alice, bob = User(control, NOBODY), User(control, SOMEBODY)
        path, other = (f"/v1/sessions/lab/{control.open()}" for _ in range(2))
        with alice.process() as one, alice.process() as two, bob.process() as his:
            assert (await alice.put(path, {"owner": {"pid": one}})).status == 201
            assert (await alice.put(other, {"owner": {"pid": one}})).status == 201
            assert (await alice.put(path, {"owner": {"pid": two}})).status == 429
            assert (await bob.put(path, {"owner": {"pid": his}})).status == 201


async def test_an_admin_s_stream_hears_everything(control: Control, alice: User) -> None:
    session_id = control.open()
    async with stream(control, "GET", "/v1/events") as events:
        assert (await events.line())["event"] == "stream_started"
        await alice.put(f"/v1/sessions/lab/{session_id}", NO_OWNER)

        taken = await events.until("hold_taken")

    assert (taken["id"], taken["uid"], taken["owner"]) == (session_id, NOBODY, "none")


async def test_what_the_configuration_holds_is_nobody_s_but_the_admins(
    control: Control, alice: User
) -> None:
    key = control.held_by_a_file()

    assert (await alice.get(f"/v1/sessions/lab/{key.id}")).status == 404
    async with caller(control) as root:
        assert (await root.get(f"/v1/sessions/lab/{key.id}")).status == 200
