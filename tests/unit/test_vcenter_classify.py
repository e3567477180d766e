"""The outcome of each answer, for every form of refusal."""

from __future__ import annotations

import gc
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.lease.answers import Outcome
from keepalived.vcenter.classify import Refusal, describe_error, outcome_of, read_refusal
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.transport import Reply

TOKEN = "0123456789abcdef"


def said(words: str, message_id: str = "some.id") -> dict[str, Any]:
    return {"id": message_id, "default_message": words, "args": []}


def api(error_type: str, words: str = "It is so.") -> bytes:
    return json.dumps({"error_type": error_type, "messages": [said(words)]}).encode()


def rest(error_type: str, words: str = "It is so.", *, newer: bool = False) -> bytes:
    value: dict[str, Any] = {"messages": [said(words)]}
    if newer:
        value["error_type"] = error_type.upper()
    return json.dumps({"type": f"com.vmware.vapi.std.errors.{error_type}", "value": value}).encode()


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, headers, body)


@pytest.mark.parametrize("body", [b"", b"plain words", api("ERROR"), rest("error")])
@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 201, 202, 204, 206, 299), Outcome.OK),
        ((301, 302, 303, 304, 307, 308), Outcome.REDIRECTED),
        ((401,), Outcome.UNAUTHENTICATED),
        ((403,), Outcome.FORBIDDEN),
        ((404,), Outcome.NOT_FOUND),
        ((429, 502, 503, 504), Outcome.UNAVAILABLE),
        ((400, 402, 405, 407, 409, 410, 415, 500, 501, 505, 599), Outcome.FAILED),
    ],
)
def test_the_status_decides(statuses: tuple[int, ...], outcome: Outcome, body: bytes) -> None:
    assert {outcome_of(reply(status, body)) for status in statuses} == {outcome}


@pytest.mark.parametrize(
    ("error_type", "outcome"),
    [
        ("not_allowed_in_current_state", Outcome.NOT_ALLOWED),
        ("invalid_argument", Outcome.INVALID_ARGUMENT),
        ("resource_busy", Outcome.FAILED),
        ("already_exists", Outcome.FAILED),
        ("unsupported", Outcome.FAILED),
    ],
)
def test_a_400_is_told_apart_by_its_type(error_type: str, outcome: Outcome) -> None:
    bodies = [api(error_type.upper()), rest(error_type), rest(error_type, newer=True)]
    assert {outcome_of(reply(400, body)) for body in bodies} == {outcome}
    assert {read_refusal(body) for body in bodies} == {Refusal(error_type, "It is so.")}


def test_words_never_decide() -> None:
    words = "not_allowed_in_current_state: com.vmware.vapi.std.errors.invalid_argument"
    assert outcome_of(reply(400, words.encode())) is Outcome.FAILED
    assert outcome_of(reply(400, api("ERROR", words))) is Outcome.FAILED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"404 page not found\n",
        b"<html><body>404</body></html>",
        b"null",
        b"[]",
        b'"NOT_FOUND"',
        b'{"error_type":404,"messages":{}}',
        b'{"type":null,"value":[]}',
        b'{"value":{"messages":[null,1,"x",{"default_message":7}],"error_type":[]}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\x00\xfe",
    ],
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    assert read_refusal(body) == Refusal()
    assert describe_error(reply(404, body)) == "HTTP 404"


def test_an_unknown_route_is_known_by_its_message() -> None:
    message = said("No such route.", "com.vmware.vapi.rest.httpNotFound")
    bodies = [
        {"error_type": "NOT_FOUND", "messages": [message]},
        {"type": "com.vmware.vapi.std.errors.not_found", "value": {"messages": [message]}},
    ]
    assert all(read_refusal(json.dumps(body).encode()).is_unknown_route for body in bodies)
    assert not read_refusal(api("NOT_FOUND")).is_unknown_route


def test_words_for_people() -> None:
    assert describe_error(reply(409, api("CONCURRENT_CHANGE", "Try again."))) == (
        "HTTP 409: concurrent_change: Try again."
    )
    assert describe_error(reply(500, rest("internal_server_error", "Oh no."))) == (
        "HTTP 500: internal_server_error: Oh no."
    )
    two = json.dumps({"error_type": "ERROR", "messages": [said("One."), said("Two.")]}).encode()
    assert describe_error(reply(500, two)) == "HTTP 500: error: One.; Two."
    only_an_id = json.dumps({"messages": [{"id": "some.id"}]}).encode()
    assert describe_error(reply(500, only_an_id)) == "HTTP 500: some.id"


def test_words_are_short_and_cannot_move_the_cursor() -> None:
    words = describe_error(
        reply(500, api("ERROR", "\x1b[2J\nlevel=error fake\ud800 " + "x" * 5000))
    )
    assert words.startswith(r"HTTP 500: error: \x1b[2J\nlevel=error fake\ud800 xxx")
    assert len(words) <= 300
    assert words.isprintable()


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://sso.example/login?token=" + TOKEN, " to sso.example"),
        ("/ui/", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_a_redirect_is_told_with_its_host_alone(location: str, where: str) -> None:
    words = describe_error(reply(302, b"moved", location=location))
    assert words == f"HTTP 302: redirected{where}, which is not followed; correct the url"


def test_a_secret_that_the_server_repeats_is_hidden() -> None:
    body = api("UNAUTHENTICATED", f"The session {TOKEN} is not valid.")
    words = describe_error(reply(401, body), Secrets(("", TOKEN)))
    assert words == "HTTP 401: unauthenticated: The session *** is not valid."
    # Nor does cutting the words short leave half of one.
    late = describe_error(reply(401, api("ERROR", "x" * 270 + TOKEN)), Secrets((TOKEN,)))
    assert TOKEN[:4] not in late


def test_a_secret_is_hidden_where_it_is_told_in_lower_case() -> None:
    error = json.dumps({"error_type": "Geheim"}).encode()
    assert describe_error(reply(400, error), Secrets(["Geheim"])) == "HTTP 400: ***"
    moved = reply(302, location="https://Geheim.example/")
    assert "geheim" not in describe_error(moved, Secrets(["Geheim"]))


@pytest.mark.parametrize(
    ("secret", "said", "shown"),
    [
        ("abc", "ABCabc, aBc!", "******, ***!"),
        ("a.c", "abc a.c", "abc ***"),
        ("straße", "STRASSE 1", "*** 1"),
        ("ss", "straße", "stra***e"),
        ("as", "aß.", "***."),
        ("geheim", "İgeheim", "İ***"),
    ],
)
def test_a_secret_is_hidden_in_whatever_letters(secret: str, said: str, shown: str) -> None:
    assert (
        describe_error(reply(400, api("ERROR", said)), Secrets([secret]))
        == f"HTTP 400: error: {shown}"
    )


def test_no_secret_is_left_in_the_cache_of_regular_expressions() -> None:
    secret = "5e7c0a1d-not-to-be-kept"
    describe_error(reply(401, api("UNAUTHENTICATED", f"{secret} is unknown")), Secrets([secret]))
    patterns = [each for each in gc.get_objects() if isinstance(each, re.Pattern)]
    assert patterns
    assert not [each for each in patterns if "5e7c0a1d" in str(each.pattern)]


_KEYS = st.sampled_from(["type", "error_type", "value", "messages", "default_message", "id"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner),
    max_leaves=20,
)


@given(st.integers(100, 599), _JSON)
def test_no_body_makes_it_stumble(status: int, value: object) -> None:
    answer = reply(status, json.dumps(value).encode())
    assert isinstance(outcome_of(answer), Outcome)
    assert describe_error(answer).isprintable()


@given(st.binary())
def test_no_bytes_make_it_stumble(body: bytes) -> None:
    assert outcome_of(reply(400, body)) in Outcome
    assert describe_error(reply(400, body))


@given(st.text())
def test_no_location_makes_it_stumble(location: str) -> None:
    assert describe_error(reply(302, b"", location=location)).isprintable()
