"""The API session that govc has cached: found by its name, and used only from a safe file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from keepalived.host.govc import GovcSessionError, cached_session
from tests.support.users import NOBODY, needs_root

TOKEN = "b00a1d4c-5a2e-4f5e-9f0e-3e8a2a6b7c11"
URL = "https://uploader@vc.example.org/rest#insecure=false"
PLAIN = {"GOVC_URL": "https://uploader@vc.example.org/sdk"}


def save(
    home: Path, key: str = URL, content: object = None, *, digest: str = "sha256", tail: str = ""
) -> Path:
    """Keep an API session as govc does; `key` is what it hashes."""
    folder = home / ".govmomi" / "rest_sessions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.new(digest, key.encode()).hexdigest()
    path.touch(0o600)
    saved = {"SoapClient": {"Cookies": []}, "SessionID": TOKEN} if content is None else content
    path.write_text(json.dumps(saved) + tail)
    return path


def is_found(environ: dict[str, str], home: Path) -> bool:
    found = cached_session(environ, home)
    return found is not None and found.token == TOKEN


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        (PLAIN, URL),
        ({"GOVC_URL": "https://uploader:secret@vc.example.org"}, URL),
        ({"GOVC_URL": "uploader:secret@vc.example.org"}, URL),
        ({"GOVC_URL": "uploader:sec@ret@vc.example.org/"}, URL),
        ({"GOVC_URL": "HTTPS://uploader@vc.example.org/sdk?x#y"}, URL),
        ({"GOVC_URL": "vc.example.org", "GOVC_USERNAME": "uploader"}, URL),
        ({"GOVC_URL": "other:secret@vc.example.org", "GOVC_USERNAME": "uploader"}, URL),
        ({**PLAIN, "GOVC_INSECURE": "0"}, URL),
        ({**PLAIN, "GOVC_INSECURE": "yes"}, URL),
        ({**PLAIN, "GOVC_INSECURE": "1"}, URL.replace("false", "true")),
        ({**PLAIN, "GOVC_INSECURE": "True"}, URL.replace("false", "true")),
        ({**PLAIN, "GOVC_PERSIST_SESSION": "true"}, URL),
        ({"GOVC_URL": "vc.example.org"}, "https://@vc.example.org/rest#insecure=false"),
        (
            {"GOVC_URL": "http://uploader@[2001:db8::1]:8989/sdk"},
            "http://uploader@[2001:db8::1]:8989/rest#insecure=false",
        ),
        (
            {"GOVC_URL": "uploader@VC.example.org:443"},
            "https://uploader@VC.example.org:443/rest#insecure=false",
        ),
        (
            {"GOVC_URL": "vc.example.org", "GOVC_USERNAME": "administrator@vsphere.local"},
            "https://administrator%40vsphere.local@vc.example.org/rest#insecure=false",
        ),
        (
            {"GOVC_URL": "https://administrator%40vsphere.local:x@vc.example.org/sdk"},
            "https://administrator%40vsphere.local@vc.example.org/rest#insecure=false",
        ),
        (
            {"GOVC_URL": "vc.example.org", "GOVC_USERNAME": "LAB\\J\u00fcrgen (x) $&+,;=:/?!*'~"},
            "https://LAB%5CJ%C3%BCrgen%20%28x%29%20$&+,;=%3A%2F%3F%21%2A%27~@vc.example.org/rest"
            "#insecure=false",
        ),
    ],
)
def test_the_file_is_found_by_what_govc_is_told(
    environ: dict[str, str], key: str, tmp_path: Path
) -> None:
    assert not is_found(environ, tmp_path)
    save(tmp_path, key)
    assert is_found(environ, tmp_path)


def test_older_releases_name_it_by_sha_1(tmp_path: Path) -> None:
    save(tmp_path, digest="sha1")
    assert is_found(PLAIN, tmp_path)


@pytest.mark.parametrize("older", ["sha1", "sha256"])
def test_of_two_releases_the_later_login_counts(older: str, tmp_path: Path) -> None:
    os.utime(save(tmp_path, content={"SessionID": "old"}, digest=older), (1, 1))
    save(tmp_path, digest={"sha1": "sha256", "sha256": "sha1"}[older])
    assert is_found(PLAIN, tmp_path)


def test_another_folder_may_be_given(tmp_path: Path) -> None:
    path = save(tmp_path)
    environ = {**PLAIN, "GOVMOMI_HOME": str(tmp_path / ".govmomi")}
    found = cached_session(environ, tmp_path / "elsewhere")
    assert found is not None
    assert found.path == path
    assert not is_found({**PLAIN, "GOVMOMI_HOME": str(tmp_path / "elsewhere")}, tmp_path)


def test_a_file_may_hold_the_user_s_name(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("uploader\n")
    save(tmp_path)
    environ = {"GOVC_URL": "vc.example.org", "GOVC_USERNAME": str(tmp_path / "username")}
    assert is_found(environ, tmp_path)


@pytest.mark.parametrize("word", ["0", "false", "False"])
def test_where_govc_keeps_no_sessions_an_old_one_is_not_its_own(word: str, tmp_path: Path) -> None:
    save(tmp_path)
    assert cached_session({**PLAIN, "GOVC_PERSIST_SESSION": word}, tmp_path) is None


def test_without_a_vcenter_there_is_nothing_to_find(tmp_path: Path) -> None:
    assert cached_session({}, tmp_path) is None
    assert cached_session({"GOVC_URL": ""}, tmp_path) is None


def test_a_session_that_was_never_logged_in_for_is_none(tmp_path: Path) -> None:
    save(tmp_path, content={"SoapClient": {}, "SessionID": ""})
    assert cached_session(PLAIN, tmp_path) is None


def test_what_a_longer_session_left_behind_is_no_part_of_it(tmp_path: Path) -> None:
    save(tmp_path, tail='\n2-4f5e"}\n')
    assert is_found(PLAIN, tmp_path)


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    path = save(tmp_path)
    shown = repr(cached_session(PLAIN, tmp_path))
    is_shown = TOKEN in shown
    assert not is_shown
    assert str(path) in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_what_others_may_use_is_not_taken(mode: int, tmp_path: Path) -> None:
    path = save(tmp_path)
    path.chmod(mode)
    message = refused(PLAIN, tmp_path)
    assert message.startswith(f"{path}: its mode {mode:04o} gives others access")


@needs_root
def test_what_belongs_to_another_user_is_not_taken(tmp_path: Path) -> None:
    path = save(tmp_path)
    os.chown(path, NOBODY, NOBODY)
    assert refused(PLAIN, tmp_path) == f"{path}: it belongs to user {NOBODY}"


@needs_root
def test_what_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    path = save(tmp_path)
    os.seteuid(NOBODY)
    try:
        message = refused(PLAIN, tmp_path)
    finally:
        os.seteuid(0)
    assert message == f"{path}: Permission denied"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = save(tmp_path)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert refused(PLAIN, tmp_path) == f"{path}: not a regular file"


@pytest.mark.parametrize(
    "content",
    [[], "text", {}, {"SessionID": None}, {"SessionID": 7}, {"SessionID": "two words"}],
    ids=str,
)
def test_what_govc_does_not_write_is_refused(content: object, tmp_path: Path) -> None:
    path = save(tmp_path, content=content)
    assert refused(PLAIN, tmp_path) == f"{path}: not a session file of govc"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000], ids=len)
def test_what_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = save(tmp_path)
    path.write_bytes(content)
    assert refused(PLAIN, tmp_path) == f"{path}: not a session file of govc"


def test_a_url_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    assert refused({"GOVC_URL": "https://u:pw@[vc/sdk"}, tmp_path) == "GOVC_URL is not a URL"


def refused(environ: dict[str, str], home: Path) -> str:
    """What the error says."""
    with pytest.raises(GovcSessionError) as caught:
        cached_session(environ, home)
    assert caught.value.__cause__ is None  # which would tell the content
    return str(caught.value)
