"""What `keepalived.hold` takes and refuses, before anything is sent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import keepalived
from tests.support.cli import UNMEASURED

URL = "https://vcenter.example.org"
SECRET = "s3cret-token-value"


def refusal(*words: Any, **how: Any) -> str:
    """Return what a call that cannot be meant is refused with."""
    with pytest.raises(keepalived.InvalidArguments) as refused:
        keepalived.hold(*words, **how)
    assert isinstance(refused.value, ValueError)
    assert refused.value.__cause__ is None
    said = str(refused.value)
    assert SECRET not in said
    return said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "pass token=, or username= and password="),
        ({"token": SECRET, "username": "me"}, "not both"),
        ({"token": SECRET, "password": SECRET}, "not both"),
        ({"username": "me"}, "password= must be a str"),
        ({"username": "me", "password": ""}, "password= must be a str"),
        ({"password": SECRET}, "username= must be a str"),
        ({"username": "me:you", "password": SECRET}, "username: a user name cannot contain ':'"),
        (
            {"username": "me", "password": SECRET + "\n"},
            "password= contains an unprintable character",
        ),
        ({"token": ""}, "the API token is empty"),
        ({"token": SECRET + " " + SECRET}, "printable ASCII"),
        ({"token": SECRET.encode()}, "token: must be a str, not bytes"),
        ({"token": SECRET, "kind": "upload"}, "kind: must be update or download, not 'upload'"),
        ({"token": SECRET, "dialect": "soap"}, "dialect: must be one of auto, api, rest"),
        ({"token": SECRET, "session_timeout": 0}, "session_timeout: must be at least 1s"),
        ({"token": SECRET, "session_timeout": "soon"}, "session_timeout: 'soon' is not a duration"),
        ({"token": SECRET, "insecure": True, "ca_file": __file__}, "give only one of"),
        ({"token": SECRET, "ca_file": "/nowhere.pem"}, "/nowhere.pem: there is no such file"),
        ({"token": SECRET, "ca_file": __file__}, "contains no PEM certificate"),
        ({"token": SECRET, "fingerprints": "abc"}, "fingerprints"),
        (
            {"token": SECRET, "connect_timeout": 0},
            "connect_timeout: must be a number",
        ),
        (
            {"token": SECRET, "connect_timeout": True},
            "connect_timeout: must be a number",
        ),
    ],
    # Secrets stand in no name of a test.
    ids=lambda given: "+".join(given) or "nothing" if isinstance(given, dict) else "",
)
def test_what_cannot_be_meant_is_refused_at_once(given: dict[str, Any], words: str) -> None:
    assert words in refusal(URL, "id", **given)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "url: names no host"),
        (None, "url: must be a str such as https://HOST, not NoneType"),
        ("ftp://vcenter", "url: begins with ftp://"),
        (f"https://me:{SECRET}@vcenter", "must not contain `user:password@`"),
        ("https://vcenter/ui", "without a path"),
    ],
    ids=["empty", "none", "ftp", "password", "path"],
)
def test_a_url_that_is_none_is_refused(url: Any, words: str) -> None:
    assert words in refusal(url, "id", token=SECRET)


@pytest.mark.parametrize("session_id", ["", "..", "a/b", "x" * 256, 7, None])
def test_an_id_that_is_none_is_refused(session_id: Any) -> None:
    assert "session" in refusal(URL, session_id, token=SECRET)


def test_what_the_settings_understand_is_understood(tmp_path: Path) -> None:
    held = keepalived.hold(
        "vcenter.example.org/sdk",
        "id:1",
        token=f" {SECRET}\n",
        session_timeout="5m",
        kind="download",
    )
    assert repr(held) == f"<hold on download session id:1 at {URL}: PENDING>"
    assert (held.session_id, held.kind, held.state, held.end) == (
        "id:1",
        keepalived.Kind.DOWNLOAD,
        keepalived.State.PENDING,
        None,
    )


@pytest.mark.parametrize(
    "wrong", [(101,), (-1,), (5, -1), (-5, 10), (1.5,), (True,), ("7",), (1, 2.0)], ids=str
)
def test_progress_that_cannot_be_is_refused(wrong: tuple[Any, ...]) -> None:
    held = keepalived.hold(URL, "id", token=SECRET)
    with pytest.raises(keepalived.InvalidArguments, match=r"progress|bytes"):
        held.progress(*wrong)


def test_what_is_sent_around_the_content_fails_no_upload() -> None:
    held = keepalived.hold(URL, "id", token=SECRET)
    held.progress(1_000_200, 1_000_000)
    held.progress(0, 0)


def test_importing_the_package_costs_nothing_and_offers_everything() -> None:
    script = (
        "import sys, keepalived; before = set(sys.modules);"
        "assert not before & {'asyncio', 'aiohttp', 'threading'}, before;"
        "assert set(keepalived.__all__) <= set(dir(keepalived));"
        "assert all(getattr(keepalived, name).__name__ == name for name in keepalived.__all__);"
        "from keepalived import hold, SessionLost\n"
        "try: keepalived.nothing\n"
        "except AttributeError as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=UNMEASURED,
    )
    assert (ran.stdout, ran.stderr) == ("module 'keepalived' has no attribute 'nothing'\n", "")
