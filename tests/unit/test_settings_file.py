"""A configuration as a whole: its encoding, its keys, and the variables that stand for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived.settings import loader
from tests.support.settings import LAB, SECRET, Checked, check, checked, errors, warnings


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing but a comment\n", "---\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    (problem,) = errors(check(tmp_path, content))
    assert "the file is empty; it needs at least `vcenters:` with one vCenter" in problem


def test_no_mapping(tmp_path: Path) -> None:
    assert errors(check(tmp_path, "- lab\n")) == [
        "config.yaml: contains a list; a configuration is a mapping that begins with `vcenters:`"
    ]


def test_no_utf8(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB.encode() + b"# caf\xe9\n")) == [
        "config.yaml:6: is not UTF-8 text; save the file as UTF-8"
    ]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert warnings(check(tmp_path, b"\xef\xbb\xbf" + LAB.encode())) == []


_TOP_LEVEL_KEYS = (
    "known here: vcenters, sessions, session_files, stall_timeout, persist_tokens, "
    "exit_when_idle, control, state, http, metrics, log, retention"
)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sessionfiles: []", "did you mean 'session_files'?"),
        ("vcenter: {}", "did you mean 'vcenters'?"),
        (
            "banana: 1",
            _TOP_LEVEL_KEYS,
        ),
        (
            "banana:",
            _TOP_LEVEL_KEYS,
        ),
    ],
)
def test_unknown_keys_name_the_nearest(tmp_path: Path, line: str, said: str) -> None:
    (problem,) = errors(check(tmp_path, LAB + line + "\n"))
    assert problem.startswith("config.yaml:6: ")
    assert problem.endswith(f": this key is not known; {said}")


@pytest.mark.parametrize("vcenters", ["", "vcenters:\n", "vcenters: {}\n"])
def test_at_least_one_vcenter(tmp_path: Path, vcenters: str) -> None:
    (problem,) = errors(check(tmp_path, vcenters + "log: {level: debug}\n"))
    assert "vcenters: is missing" in problem or "vcenters: must not be empty" in problem


def test_keys_left_empty_are_as_good_as_left_out(tmp_path: Path) -> None:
    empty = "    proxy:\n    ca_file:\nsessions:\nsession_files:\nhttp:\n"
    assert warnings(check(tmp_path, LAB + empty)) == []


@pytest.fixture
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "nowhere.yaml")


def govc(**environ: str) -> Checked:
    return checked(None, environ)


@pytest.mark.usefixtures("_no_file")
def test_govc_variables_that_are_wrong() -> None:
    assert errors(govc(GOVC_URL="ftp://x")) == [
        "environment: GOVC_URL: begins with ftp://; write https://HOST"
    ]
    assert errors(govc(GOVC_URL="u@vcsa.lab", GOVC_INSECURE="yes")) == [
        "environment: GOVC_PASSWORD: is not set; set it to the password of u",
    ]
    assert errors(govc(GOVC_URL="vcsa.lab", GOVC_PASSWORD=SECRET)) == [
        "environment: GOVC_USERNAME: is not set, but GOVC_PASSWORD is"
    ]
    assert errors(
        govc(GOVC_URL=f"u:{SECRET}@vcsa.lab", GOVC_TLS_CA_CERTS="/nowhere/a:/nowhere/b")
    ) == [
        "environment: GOVC_TLS_CA_CERTS: /nowhere/a: there is no such file",
        "environment: GOVC_TLS_CA_CERTS: /nowhere/b: there is no such file",
    ]


@pytest.mark.usefixtures("_no_file")
def test_govc_insecure_is_warned_of() -> None:
    result = govc(GOVC_URL=f"u:{SECRET}@vcsa.lab", GOVC_INSECURE="1")
    assert warnings(result) == [
        "environment: GOVC_INSECURE: any server that answers gets the password; "
        "use `fingerprints` instead"
    ]
