"""API tokens that come with holds: used, replaced, given up, and never shown."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from keepalived.control import openapi
from keepalived.control.routes import ROUTES
from keepalived.lease.holds import LentToken
from keepalived.lease.model import Kind, SessionKey
from tests.support.control import NO_OWNER, Answered, Caller, Control, held, stream
from tests.support.simulator import api_caller

SECRET = "5eCre7-of-the-uploader"


async def token_of_an_uploader(control: Control) -> str:
    return (await api_caller(control.simulators["lab"])).token


def says_nowhere(secret: str, *texts: object) -> bool:
    return not any(secret in str(text) for text in texts)


def users_of_keep_alives(control: Control, session_id: str) -> set[str]:
    """Return the tokens that keep-alives went out with, by their aliases."""
    entries = control.simulators["lab"].ledger.requests("*.keep_alive", session_id=session_id)
    return {entry.login for entry in entries}


def alias(control: Control, token: str) -> str:
    login = control.simulators["lab"].logins.peek(token)
    assert login is not None
    return login.alias


async def test_keep_alives_go_out_with_the_token_that_was_lent(
    control: Control, me: Caller
) -> None:
    token, session_id = await token_of_an_uploader(control), control.open()
    path = f"/v1/sessions/lab/{session_id}"

    put = await me.put(path, {**NO_OWNER, "token": token})
    renewed = await me.post(f"{path}/keep-alive")

    assert renewed.body["outcome"] == "ok"
    assert [hold["token"] for hold in put.body["holds"]] == ["lent"]
    assert users_of_keep_alives(control, session_id) == {alias(control, token)}


async def test_a_hold_keeps_its_token_until_another_is_lent_or_it_is_taken_back(
    control: Control, me: Caller
) -> None:
    token, session_id = await token_of_an_uploader(control), control.open()
    path = f"/v1/sessions/lab/{session_id}"

    async def lent(answer: Answered) -> Any:
        return answer.body["holds"][0]["token"]

    assert await lent(await me.put(path, NO_OWNER)) is None
    assert await lent(await me.put(path, {**NO_OWNER, "token": token})) == "lent"
    assert await lent(await me.put(path, NO_OWNER)) == "lent"
    assert await lent(await me.patch(path, {"progress": 5})) == "lent"
    assert await lent(await me.patch(path, {"token": None})) is None
    assert await lent(await me.patch(path, {"token": token})) == "lent"
    assert await lent(await me.put(path, {**NO_OWNER, "token": None})) is None


async def test_a_refused_token_is_told_and_a_fresh_one_is_tried_at_once(
    control: Control, me: Caller
) -> None:
    token, session_id = await token_of_an_uploader(control), control.open()
    path = f"/v1/sessions/lab/{session_id}"
    control.simulators["lab"].logins.log_out(token)
    async with stream(control, "GET", f"/v1/events?id={session_id}") as events:
        await me.put(path, {**NO_OWNER, "token": token})
        told = await events.until("token_refused")
        await events.until("renewed")
        refused = await me.get(path)
        again = await me.put(path, {**NO_OWNER, "token": token})

        fresh = await token_of_an_uploader(control)
        patched = await me.patch(path, {"token": fresh})
        after = []
        while (line := await events.line())["event"] != "renewed":
            after.append(line["event"])

    assert (told["id"], told["fallback"]) == (session_id, True)
    assert [each.body["holds"][0]["token"] for each in (refused, again)] == ["refused"] * 2
    assert "token_refused" not in after
    assert patched.body["holds"][0]["token"] == "lent"
    assert alias(control, fresh) in users_of_keep_alives(control, session_id)


async def test_a_token_is_in_no_answer_no_event_and_no_log(
    control: Control, me: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, session_id = await token_of_an_uploader(control), control.open()
    path = f"/v1/sessions/lab/{session_id}"
    async with stream(control, "GET", "/v1/events") as events:
        answers = [
            await me.put(path, {**NO_OWNER, "token": token}),
            await me.patch(path, {"token": token, "progress": 3}),
            await me.get(path),
            await me.get("/v1/sessions"),
            await me.get("/v1/vcenters/lab/sessions"),
            await me.post(f"{path}/keep-alive"),
            await me.put(path, {**NO_OWNER, "token": SECRET}),
        ]
        lines = [await events.until("token_refused")]
        answers.append(await me.delete(path))
        lines.append(await events.until("session_ended"))

    session = control.registry.find(SessionKey("lab", Kind.UPDATE, session_id))
    for secret in (token, SECRET):
        assert says_nowhere(secret, *(each.body for each in answers), *lines, caplog.text, session)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"owner": null, "token": "{SECRET}"',
        f'{{"owner": null, "token": {SECRET}}}',
        f'{{"owner": null, "token": "{SECRET}", }}',
        f'{{"owner": null, "token": "{SECRET}\\u0007"}}',
        f'{{"owner": null, "token": " {SECRET}"}}',
        f'{{"owner": null, "token": "{SECRET}ü"}}',
        f'{{"owner": null, "token": "{SECRET}\\ud800"}}',
        f'{{"owner": null, "token": "{SECRET * 200}"}}',
        f'{{"owner": null, "token": ["{SECRET}"]}}',
        f'{{"owner": null, "token": {{"value": "{SECRET}"}}}}',
        f'{{"owner": "{SECRET}", "token": "{SECRET}"}}',
        f'{{"owner": null, "token": "{SECRET}", "progress": 101}}',
        f'{{"owner": null, "token": "{SECRET}", "progress": 1, "bytes_done": 1}}',
        f'{{"owner": null, "Token": "{SECRET}"}}',
        f'["{SECRET}"]',
        f'"{SECRET}"',
        SECRET,
    ],
    ids=range(17),
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_what_is_wrong_with_a_body_is_said_without_its_token(
    control: Control,
    me: Caller,
    caplog: pytest.LogCaptureFixture,
    method: str,
    body: str,
) -> None:
    path = f"/v1/sessions/lab/{control.open()}"
    await me.put(path, NO_OWNER)

    refused = await me.send(method, path, data=body.encode())

    # Assertion texts are output, too.
    is_silent = says_nowhere(SECRET, json.dumps(refused.body), refused.headers, caplog.text)
    assert is_silent
    assert refused.status in (400, 422)


async def test_an_empty_token_is_none(control: Control, me: Caller) -> None:
    refused = await me.put(f"/v1/sessions/lab/{control.open()}", {**NO_OWNER, "token": ""})
    assert refused.status == 400
    assert "the API token is empty" in refused.body["detail"]


def test_the_description_shows_tokens_as_something_that_is_written_alone() -> None:
    schemas = openapi.describe(ROUTES, "test")["components"]["schemas"]
    for name in ("HoldRequest", "ProgressUpdate"):
        [said, _null] = schemas[name]["properties"]["token"]["anyOf"]
        assert said["writeOnly"] is True
        assert "example" not in said


async def test_a_token_that_could_not_be_written_down_is_not_kept(
    control: Control, me: Caller
) -> None:
    session_id, path = await held(control, me)
    control.disk.error = OSError(28, "No space left on device")

    refused = await me.patch(path, {"token": await token_of_an_uploader(control)})

    assert refused.status == 507
    [hold] = control.holds(session_id)
    assert hold.token is None


def test_a_lent_token_is_in_no_repr() -> None:
    assert says_nowhere(SECRET, repr(LentToken(SECRET)))
