"""Hostile values for every reader: each is accepted, or refused with a message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.control.encoding import to_json
from keepalived.control.views import View
from keepalived.settings import ConfigError, load_settings
from keepalived.settings.sessions import parse_sessions
from keepalived.store.mapper import Table
from keepalived.store.tables import HOLD, SESSION
from tests.fuzz.damage import EXAMPLES, fuzzed
from tests.fuzz.test_control_bytes import place, send
from tests.fuzz.test_settings import check_words
from tests.support.control import running_control
from tests.support.state_file import HOLD as A_HOLD
from tests.support.state_file import KEY, Hands, opened, renewed

pytestmark = pytest.mark.timeout(300 + 4 * EXAMPLES)

__all__ = ["place", "running_control"]

digits = st.integers(1, 6000).map(lambda count: "9" * count)
numbers = (
    digits
    | digits.map(lambda text: f"-{text}")
    | st.integers(-(2**70), 2**70).map(str)
    | st.sampled_from(
        [
            "1e300",
            "-1e300",
            "1.0e+300",
            "1e999",
            ".inf",
            ".nan",
            "010",
            "0o10",
            "0x10",
            "1:30",
            "1_0",
            "190:30:10",
            "1:30.5",
            "+5",
            "-0",
            "0.1",
            "5.0",
            "1e-300",
            "NaN",
            "Infinity",
            "true",
        ]
    )
)
tags = st.sampled_from(
    [
        "!!str",
        "!!int",
        "!!float",
        "!!bool",
        "!!null",
        "!!binary",
        "!!timestamp",
        "!!set",
        "!!omap",
        "!!pairs",
        "!!seq",
        "!!map",
        "!!merge",
        "!!value",
        "!!python/name:os.abort",
        "!own",
        "!",
        "!<x>",
    ]
)
words = (
    numbers
    | st.sampled_from(
        [
            "~",
            "~/x",
            "~root/x",
            "~no-such-user/x",
            "~~",
            "null",
            "yes",
            "No",
            "ON",
            "off",
            "=",
            "<<",
            '"a\\0b"',
            '"\\ud800"',
            '"\\udfff\\ud800"',
            '"\\x7f"',
            "'\udcff'",
            "2026-13-45",
            "*a",
            "&a x",
            "[a, b]",
            "{a: b}",
            "[]",
            "{}",
            "&b [*b]",
            "&c {x: *c}",
            '""',
            "|\n  x",
            "/proc/kmsg",
            "/",
        ]
    )
    | st.text(max_size=8).map(json.dumps)
)
values = words | st.builds("{} {}".format, tags, words)
keys = (
    st.sampled_from(
        [
            "id",
            "vcenter",
            "kind",
            "progress",
            "bytes_done",
            "bytes_total",
            "path",
            "token_file",
            "max_lifetime",
            "note",
        ]
    )
    | words
    | st.builds("? {}\n  ".format, values)
)
entries = st.lists(st.tuples(keys, values), max_size=4).map(
    lambda pairs: ", ".join(f"{key}: {value}" for key, value in pairs)
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@given(entries)
@fuzzed
def test_a_good_entry_is_held_beside_any_other(entry: str) -> None:
    content = f"sessions:\n- {{id: good}}\n- {{{entry}}}\n- {{id: better}}\n"
    try:
        found = parse_sessions("s.yaml", encoded(content), ("lab",))
    except ConfigError as error:  # a syntax error
        check_words(error, "s.yaml")
        found = None
    if found is None:
        return  # a syntax error
    assert {"good", "better"} <= {key.id for key, _ in found.entries}
    if found.problems:
        check_words(ConfigError(found.problems), "s.yaml")
    for _, each in found.entries:
        to_json(each)


places = st.sampled_from(
    [
        "vcenters: {{lab: {{url: https://lab, {}: {}}}}}",
        "vcenters: {{lab: {{url: https://lab}}}}\n{}: {}",
        "vcenters: {{lab: {{url: https://lab}}}}\ncontrol: {{{}: {}}}",
        "vcenters: {{lab: {{url: https://lab}}}}\nretention: {{{}: {}}}",
        "vcenters: {{{}: {}}}",
        "vcenters: {{lab: {{url: https://lab}}}}\nhttp: {{{}: {}}}",
    ]
)
settings = keys | st.sampled_from(
    [
        "ca_file",
        "session_timeout",
        "request_timeout",
        "max_in_flight",
        "insecure",
        "discover",
        "fingerprints",
        "proxy",
        "session_files",
        "stall_timeout",
        "exit_when_idle",
        "socket",
        "ended",
        "failed",
        "listen",
        "page",
        "socket_group",
        "username",
        "url",
        "credential",
    ]
)


@given(places, settings, values)
@fuzzed
def test_any_setting_is_taken_or_refused_with_words(where: str, key: str, value: str) -> None:
    path = Path("/dev/shm/clkeepalived-hostile.yaml")  # noqa: S108 - overwritten by every example
    path.write_bytes(encoded(where.format(key, value)))
    refusal = ""
    try:
        loaded = load_settings(path, {})
        to_json(loaded.settings)
    except ConfigError as error:
        check_words(error, str(path))
        refusal = str(error)
    finally:
        path.unlink()
    assert "please report" not in refusal


spans = numbers | numbers.map(json.dumps) | numbers.map(lambda text: f'"{text}d"')
bodies = st.builds(
    "{{{}: {}, {}: {}}}".format,
    st.sampled_from(["owner", "progress", "bytes_total", "max_lifetime", "note", "token"]).map(
        json.dumps
    ),
    spans | st.builds('{{"ttl": {}}}'.format, spans) | st.builds('{{"pid": {}}}'.format, spans)
    | st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
    | st.integers(1, 3000).map(lambda depth: '{"a":' * depth + "1" + "}" * depth)
    | st.sampled_from(['"\\ud800"', '"\\u0000"', "null", "true", "[]", "{}"]),
    st.sampled_from(['"owner"', '"bytes_done"']),
    spans | st.just("null"),
)  # fmt: skip


@given(bodies, st.sampled_from(["PUT", "PATCH"]), spans)
@fuzzed
def test_any_number_in_a_request_is_taken_or_refused(
    place: tuple[asyncio.Runner, Path], body: str, method: str, uid: str
) -> None:
    runner, socket = place
    target = (
        f"/v1/sessions/lab/session-1?uid={uid[:3000]}"
        if method == "PATCH"
        else ("/v1/sessions/lab/session-1")
    )
    status, text = runner.run(send(socket, method, target, encoded(body)))
    assert status < 500, text
    json.loads(text)


cells = (
    st.floats()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([1e300, -1e300, 1e18, 0.0, "", "x", "nan", "1:2:3", b"\xff", "a\0b", None])
)


TABLES: list[Table[Any]] = [HOLD, SESSION]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Path]]:
    folder = tmp_path_factory.mktemp("state")
    with asyncio.Runner() as runner:
        yield runner, folder


@given(
    st.sampled_from(TABLES).flatmap(
        lambda table: st.tuples(st.just(table), st.sampled_from(table.names[3:]), cells)
    )
)
@fuzzed
def test_any_stored_row_can_be_shown_or_is_ignored(
    state: tuple[asyncio.Runner, Path], change: tuple[Table[Any], str, object]
) -> None:
    runner, folder = state
    table, column, value = change
    other = KEY._replace(id="other")

    async def write() -> None:
        for path in folder.iterdir():
            path.unlink()
        async with opened(folder) as (store, _):
            for key in (KEY, other):
                await store.put_hold(key, A_HOLD)
                store.note_session(renewed()._replace(key=key))

    async def read() -> None:
        async with opened(folder) as (store, stored):
            assert other in {session.key for session in stored.sessions}
            view = View(Hands(), None)
            for session in stored.sessions:
                to_json(view.session(session))
                store.note_session(session)

    runner.run(write())
    database = sqlite3.connect(folder / "state.db")
    with contextlib.suppress(sqlite3.IntegrityError), database:
        statement = f"UPDATE {table.name} SET {column} = ? WHERE id = ?"  # noqa: S608
        database.execute(statement, (value, KEY.id))
    database.close()
    runner.run(read())
