"""Lists of any length: decoded like short ones, in parts, with pauses for the loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.lease import stalls
from keepalived.lease.answers import FileInfo
from keepalived.vcenter import lists, parsing
from keepalived.vcenter.dialects import Api, ApiDialect, Rest
from keepalived.vcenter.hiding import NO_SECRETS, Secrets
from keepalived.vcenter.parsing import FILES_MOST, IDS_MOST, JSON_MOST, FormError
from tests.support.turns import turns

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_BLANK = st.sampled_from(["", " ", "\n\t  ", "\r\n"])


def read(body: bytes, *, is_wrapped: bool = False) -> list[Any]:
    return list(lists.elements(body, NO_SECRETS, is_wrapped=is_wrapped))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let windows be so small that everything lies across their ends."""
    monkeypatch.setattr(lists, "_WINDOW", 12)


@given(values=st.lists(_JSON, max_size=6), blank=_BLANK, is_wrapped=st.booleans())
def test_it_says_what_json_says(values: list[Any], blank: str, is_wrapped: bool) -> None:
    parts = f"{blank},{blank}".join(json.dumps(each, ensure_ascii=False) for each in values)
    text = f"{blank}[{blank}{parts}{blank}]{blank}"
    body = f'{{"value":{text}}}' if is_wrapped else text
    assert read(body.encode("utf-8", "surrogatepass"), is_wrapped=is_wrapped) == values


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    "text",
    [
        "[12345, 1234567]",
        '["ab", "abc"]',
        '["äöüß€"]',
        "[ 1\n,\n2 ]",
        '[{"a": 1}, [], {}]',
        "[true, false, null]",
        "[]",
        "  [   ]  ",
    ],
)
def test_windows_may_end_anywhere(text: str) -> None:
    for before in range(8):
        body = (" " * before + text).encode()
        assert read(body) == json.loads(text)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" " * (3 * JSON_MOST),
        b"null",
        b"{}",
        b'{"value": []}',
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[1] 2",
        b"[1]]",
        b"[nul]",
        b'["a',
        b'["\xff"]',
        b"[" + b"1" * 10_000 + b"]",
        b"[" * 300_000,
        b'["' + b"x" * (3 * JSON_MOST) + b'"]',
    ],
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(FormError, match=r"[a-z]"):
        read(body)


def test_a_wrapped_list_stands_in_an_object_alone() -> None:
    assert read(b' { "value" : [ "a" ] } ', is_wrapped=True) == ["a"]
    for body in (b'["a"]', b'{"value": ["a"]', b'{"value": ["a"], "more": 1}', b'{"values": []}'):
        with pytest.raises(FormError):
            read(body, is_wrapped=True)


@pytest.mark.parametrize(("dialect", "form"), [(Api(), "%s"), (Rest(), '{"value": %s}')])
def test_long_and_short_lists_are_read_alike(dialect: ApiDialect, form: str) -> None:
    for count in (3, 3 * JSON_MOST // 10):
        ids = [f"id-{number:06}" for number in range(count)]
        body = (form % json.dumps(ids)).encode()
        assert list(dialect.elements(body)) == ids


def test_secrets_are_hidden_wherever_in_the_list_they_stand() -> None:
    count = JSON_MOST // 10
    texts = [f"id-{number}" for number in range(count)]
    texts[count // 2] = "the password is s3cr3t-pa%73s"
    found = list(
        lists.elements(json.dumps(texts).encode(), Secrets(["s3cr3t-pass"]), is_wrapped=False)
    )
    assert found[count // 2] == "the password is ***"
    assert found[:10] == texts[:10]


async def test_the_loop_goes_on_while_a_list_is_read() -> None:
    body = json.dumps([f"{number:036}" for number in range(30_000)]).encode()
    async with turns() as taken:
        assert len(await parsing.ids(Api().elements(body))) == 30_000
    assert len(taken) > 60


async def test_a_list_without_an_end_is_read_to_the_limit() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "an-id"

    assert len(await parsing.ids(endless())) == IDS_MOST
    assert taken == IDS_MOST


# The files of a session


def a_file(number: int, status: str = "TRANSFERRING", done: int = 1) -> dict[str, Any]:
    return {
        "name": f"disk-{number}",
        "source_type": "PUSH",
        "status": status,
        "bytes_transferred": done,
        "size": 10,
    }


async def test_many_files_are_read_and_the_last_ones_as_one() -> None:
    files = await parsing.file_infos(a_file(number) for number in range(100_000))
    assert len(files) == FILES_MOST + 1
    assert files[0] == FileInfo("disk-0", "PUSH", "TRANSFERRING", 1, 10)
    rest = 100_000 - FILES_MOST
    assert files[-1] == FileInfo(f"{rest} more files", "PUSH", "TRANSFERRING", rest, 10 * rest)


async def test_just_so_many_files_are_read_one_by_one() -> None:
    files = await parsing.file_infos(a_file(number) for number in range(FILES_MOST))
    assert [file.name for file in files] == [f"disk-{number}" for number in range(FILES_MOST)]


@pytest.mark.parametrize("done", [1, 2])
async def test_one_that_moves_among_many_is_movement(done: int) -> None:
    count = FILES_MOST + 50
    before = await parsing.file_infos(a_file(number) for number in range(count))
    after = await parsing.file_infos(
        a_file(number, done=done if number == count - 1 else 1) for number in range(count)
    )
    assert stalls.was_moving(before, after) is (done == 2)


async def test_all_have_failed_only_if_the_last_one_has() -> None:
    count = FILES_MOST + 50
    failed = [a_file(number, "ERROR") for number in range(count)]
    assert stalls.have_failed(await parsing.file_infos(failed))
    failed[-1]["status"] = "WAITING_FOR_TRANSFER"
    assert not stalls.have_failed(await parsing.file_infos(failed))


@pytest.mark.parametrize(
    ("one", "livelier"),
    [
        *pairwise(("ERROR", "READY", "WAITING_FOR_TRANSFER", "VALIDATING", "TRANSFERRING")),
        ("ERROR", "ERROR"),
    ],
)
def test_files_taken_together_are_as_the_livelier_one(one: str, livelier: str) -> None:
    first, second = FileInfo("a", "PUSH", one, 1, 5), FileInfo("b", "PULL", livelier, 2)
    for merged in (stalls.merged(first, second), stalls.merged(second, first)):
        assert (merged.status, merged.bytes_transferred, merged.size) == (livelier, 3, None)
