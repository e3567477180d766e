"""Passwords and trust: what is missing, risky, or given twice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.settings import LAB, PEM, SECRET, check, checked, errors, warnings


@pytest.mark.parametrize("key", ["password", "pasword", "passwd", "Password"])
def test_a_password_is_refused_with_the_three_right_ways(tmp_path: Path, key: str) -> None:
    problems = errors(check(tmp_path, LAB + f"    {key}: {SECRET}\n"))
    assert problems == [
        f"config.yaml:6: vcenters.lab.{key}: this file must not contain secrets; name the "
        "source of the password: `password_file: /path`, `password_env: NAME`, or "
        "`credential: NAME` (systemd)"
    ]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "password_env",
            "!hunter2!",
            "must be the name of an environment variable: letters, digits and _",
        ),
        ("credential", "/run/hunter2", "must be the name of a systemd credential, not a path"),
        ("credential", "..", "must be the name of a systemd credential, not a path"),
        ("password_file", "[hunter2]", "must be the path of a file, not a list"),
        ("password_env", "1234", "must be text, not a number; put it in quotes"),
    ],
)
def test_a_password_in_the_wrong_place_is_not_repeated(
    tmp_path: Path, key: str, value: str, said: str
) -> None:
    quoted = f'"{value}"' if value.startswith("!") else value
    line = f"{key}: {quoted}"
    assert errors(check(tmp_path, LAB.replace("password_env: LAB_PASSWORD", line))) == [
        f"config.yaml:5: vcenters.lab.{key}: {said}"
    ]


def test_two_places_for_one_password(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "    credential: lab\n")) == [
        "config.yaml:6: vcenters.lab.credential: password_env is given as well; give only one of "
        "the two"
    ]


def test_a_password_of_nobody(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB.replace("    username: uploader@vsphere.local\n", ""))) == [
        "config.yaml:2: vcenters.lab.username: is missing; name the user that password_env "
        "belongs to"
    ]


def test_a_user_name_with_a_colon(tmp_path: Path) -> None:
    (problem,) = errors(check(tmp_path, LAB.replace("uploader@", f"uploader:{SECRET}@")))
    assert problem == (
        "config.yaml:4: vcenters.lab.username: a user name cannot contain ':', which "
        "separates it from the password"
    )


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB, LAB_PASSWORD="")) == [
        "config.yaml:5: vcenters.lab.password_env: the environment variable LAB_PASSWORD is not "
        "set or empty"
    ]


def with_password_file(path: Path | str) -> str:
    return LAB.replace("password_env: LAB_PASSWORD", f"password_file: {path}")


def test_a_password_file_beside_the_configuration(tmp_path: Path) -> None:
    path = Path(tmp_path, "lab.password")
    path.write_text(SECRET)
    path.chmod(0o600)
    assert warnings(check(tmp_path, with_password_file("lab.password"))) == []


def test_a_world_readable_password_file_is_warned_of(tmp_path: Path) -> None:
    path = Path(tmp_path, "lab.password")
    path.write_text(SECRET)
    path.chmod(0o644)
    assert warnings(check(tmp_path, with_password_file(path))) == [
        f"config.yaml:5: vcenters.lab.password_file: {path} can be read by every user; "
        "chmod 600 (or 640) it"
    ]


def test_a_missing_password_file(tmp_path: Path) -> None:
    assert errors(check(tmp_path, with_password_file("nowhere"))) == [
        f"config.yaml:5: vcenters.lab.password_file: {tmp_path}/nowhere: there is no such file"
    ]


def test_an_empty_password_file(tmp_path: Path) -> None:
    Path(tmp_path, "lab.password").touch(mode=0o600)
    (problem,) = errors(check(tmp_path, with_password_file("lab.password")))
    assert problem.endswith("lab.password: the file is empty")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user whom modes keep out, as they do not keep out root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read() -> None:
    words = "this user may not read it; check the owner and mode of the file and its folders"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "lab.password").touch(mode=0)
        (folder / "closed.yaml").touch(mode=0)
        (folder / "config.yaml").write_text(with_password_file("lab.password"))
        with as_nobody():
            assert errors(checked(folder / "closed.yaml", {})) == [f"closed.yaml: {words}"]
            assert errors(checked(folder / "config.yaml", {})) == [
                f"config.yaml:5: vcenters.lab.password_file: {folder}/lab.password: {words}"
            ]


def test_a_systemd_credential(tmp_path: Path) -> None:
    content = LAB.replace("password_env: LAB_PASSWORD", "credential: lab")
    assert warnings(check(tmp_path, content)) == [
        "config.yaml:5: vcenters.lab.credential: cannot be checked here: only a systemd "
        "service has credentials"
    ]
    assert errors(check(tmp_path, content, CREDENTIALS_DIRECTORY=str(tmp_path))) == [
        "config.yaml:5: vcenters.lab.credential: no such systemd credential (there is no such "
        "file); see LoadCredential="
    ]
    Path(tmp_path, "lab").write_text(SECRET)
    assert warnings(check(tmp_path, content, CREDENTIALS_DIRECTORY=str(tmp_path))) == []


def test_only_one_way_to_trust(tmp_path: Path) -> None:
    Path(tmp_path, "ca.pem").write_text(PEM)
    lines = f"    ca_file: ca.pem\n    fingerprints: [{'ab' * 32}]\n    insecure: true\n"
    said = "ca_file is given as well; give only one of ca_file, fingerprints, insecure"
    assert errors(check(tmp_path, LAB + lines)) == [
        f"config.yaml:7: vcenters.lab.fingerprints: {said}",
        f"config.yaml:8: vcenters.lab.insecure: {said}",
    ]


def test_fingerprints_and_insecure(tmp_path: Path) -> None:
    lines = f"    fingerprints: {'AB:' * 31}AB\n    insecure: true\n"
    assert errors(check(tmp_path, LAB + lines)) == [
        "config.yaml:7: vcenters.lab.insecure: fingerprints is given as well; give only one of "
        "ca_file, fingerprints, insecure"
    ]


def test_a_sha1_fingerprint(tmp_path: Path) -> None:
    (problem,) = errors(check(tmp_path, LAB + f"    fingerprints: [{'AB:' * 19}AB]\n"))
    assert problem.startswith(
        "config.yaml:6: vcenters.lab.fingerprints[0]: is a SHA-1 fingerprint, which can be "
        "forged; take the SHA-256, which `clkeepalived check-config --connect` shows"
    )


def test_a_missing_ca_file(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "    ca_file: ca.pem\n")) == [
        f"config.yaml:6: vcenters.lab.ca_file: {tmp_path}/ca.pem: there is no such file"
    ]


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    Path(tmp_path, "ca.der").write_bytes(b"\x30\x82")
    assert errors(check(tmp_path, LAB + "    ca_file: ca.der\n")) == [
        f"config.yaml:6: vcenters.lab.ca_file: {tmp_path}/ca.der: it contains no PEM certificate"
    ]
    assert errors(check(tmp_path, LAB + f"    ca_file: {tmp_path}\n")) == [
        f"config.yaml:6: vcenters.lab.ca_file: {tmp_path}: this is a folder, not a file"
    ]


def test_http_to_this_machine_is_no_risk(tmp_path: Path) -> None:
    assert (
        warnings(check(tmp_path, LAB.replace("https://vcsa.lab.example", "http://127.0.0.1:8989")))
        == []
    )


def test_nobody_to_log_in_as_is_warned_of(tmp_path: Path) -> None:
    assert warnings(check(tmp_path, "vcenters: {lab: {url: https://lab}}")) == [
        "config.yaml:1: vcenters.lab.username: is missing: without a login, vCenter refuses "
        "every request; each session needs its own API token (`token_file`, or lent over the "
        "socket)"
    ]


def test_xml_and_form_belong_to_rest(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "    dialect: api\n    representation: xml\n")) == [
        "config.yaml:7: vcenters.lab.representation: xml requires `dialect: rest`"
    ]


def test_a_session_timeout_too_short_to_keep(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "    session_timeout: 0.5s\n    request_timeout: 0\n")) == [
        "config.yaml:6: vcenters.lab.session_timeout: must be at least 1s",
        "config.yaml:7: vcenters.lab.request_timeout: must be longer than 0s",
    ]


def test_values_of_another_kind(tmp_path: Path) -> None:
    lines = "    proxy: true\n    username_: x\n    fingerprints: {a: b}\n    ca_file: 7\n"
    assert errors(check(tmp_path, LAB + lines)) == [
        "config.yaml:6: vcenters.lab.proxy: must be text, not true or false; put it in quotes",
        "config.yaml:7: vcenters.lab.username_: this key is not known; did you mean 'username'?",
        "config.yaml:8: vcenters.lab.fingerprints: must be a list ('- …'), not a mapping",
        "config.yaml:9: vcenters.lab.ca_file: must be the path of a file, not a number",
    ]


def test_certificates_of_several_files_are_a_matter_of_govc_alone(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "    more_ca_files: [a.pem]\n")) == [
        "config.yaml:6: vcenters.lab.more_ca_files: give one file, with all the certificates, "
        "as `ca_file`"
    ]


def test_an_empty_session(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "sessions:\n  -\n  - !!binary aGk=\n")) == [
        "config.yaml:7: sessions[0]: must be a mapping, `key: value`, not nothing",
        "config.yaml:8: sessions[1]: put a value that begins with '!' in quotes; YAML tags are "
        "not supported here",
    ]
