"""Files that other programs write: govc's cache, tokens, and /proc's lists of open files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keepalived.host import open_files
from keepalived.host.govc import GovcSessionError, cached_session
from keepalived.sources.attempts import Attempt
from keepalived.sources.named_files import NamedFiles, check_files
from tests.fuzz.damage import EXAMPLES, SECRET, damaged, fuzzed, objects, values

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

caches = damaged(
    objects({"SessionID": st.just(SECRET), "Cookies": values}).map(
        lambda each: json.dumps(each).encode()
    )
    | st.binary(max_size=40)
)


@given(caches)
@fuzzed
def test_any_cache_of_govc_is_a_token_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    home = tmp_path_factory.getbasetemp()
    environ = {"GOVC_URL": "https://u@vc.example/sdk", "GOVMOMI_HOME": str(home)}
    key = "https://u@vc.example/rest#insecure=false"
    path = home / "rest_sessions" / hashlib.sha256(key.encode()).hexdigest()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        found = cached_session(environ, home)
    except GovcSessionError as error:
        words = str(error)
    else:
        words = f"{path}: {found!r}"
        assert found is None or (found.token.isprintable() and found.token.isascii())
    assert str(path) in words
    assert SECRET not in words


@given(st.text() | st.text(max_size=9).map(lambda text: f"https://u:{SECRET}@{text}"), st.text())
@fuzzed
def test_any_address_and_user_of_govc_lead_to_no_failure(url: str, user: str) -> None:
    environ = {"GOVC_URL": url, "GOVC_USERNAME": user, "GOVMOMI_HOME": "/nowhere"}
    try:
        found, words = cached_session(environ, Path("/nowhere")), ""
    except GovcSessionError as error:
        found, words = None, str(error)
    assert found is None
    assert SECRET not in words


@given(st.binary(max_size=80) | st.just(SECRET.encode()))
@fuzzed
def test_any_token_file_is_a_token_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "token"
    path.write_bytes(content)
    files, token = check_files(NamedFiles(path, path), Attempt(), again=True)
    assert files.size == len(content)
    assert not files.path_problem
    if token:
        assert token.isprintable()
    else:
        assert token == ""
        assert str(path) in files.token_problem
        assert len(content) < 3 or content.decode("latin-1") not in files.token_problem
    assert SECRET not in repr(files)


@given(
    st.sampled_from(["pos:\t", "flags:\t", "mnt_id:\t", ""]).flatmap(
        lambda name: st.integers(0, 2**64).map(lambda number: f"{name}{number}")
    )
    | st.text(max_size=20)
)
@example("a line of another form")
@fuzzed
def test_any_line_that_a_kernel_adds_to_fdinfo_is_passed_over(line: str) -> None:
    real = open_files._read

    def with_another_line(path: str) -> str:
        # The known lines that follow override it.
        return f"{line}\n{real(path)}" if "/fdinfo/" in path else real(path)

    with open(__file__, "rb") as file, mock.patch.object(open_files, "_read", with_another_line):
        file.seek(7)
        found = open_files.open_files([os.getpid()])
    assert any(each.path == __file__ for each in found)
