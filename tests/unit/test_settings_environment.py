"""The vCenter of govc's variables, which mean here what they mean to govc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keepalived.settings import ConfigError, Loaded, load_environment
from keepalived.settings.vcenters import VCenterSettings
from keepalived.validation import validate
from keepalived.vcenter.secrets import SecretError, read_password

URL = {"GOVC_URL": "https://vcsa.lab"}
OLD, NEW = "ab" * 32, "cd" * 32
SHA1 = "12" * 20


def vcenter_of(loaded: Loaded) -> VCenterSettings:
    (vcenter,) = loaded.settings.vcenters.values()
    return vcenter


@pytest.mark.parametrize("value", ["1", "true", "True", "TRUE", "tRuE"])
def test_one_and_true_accept_any_certificate(value: str) -> None:
    assert vcenter_of(load_environment({**URL, "GOVC_INSECURE": value})).insecure


@pytest.mark.parametrize("value", ["t", "T", "yes", "on", "2", " 1", "1 "])
def test_other_values_count_as_false_with_a_warning(value: str) -> None:
    loaded = load_environment({**URL, "GOVC_INSECURE": value})
    assert not vcenter_of(loaded).insecure
    assert any("GOVC_INSECURE: counts as false" in each for each in loaded.warnings)


@pytest.mark.parametrize("value", ["", "0", "false", "FALSE"])
def test_what_means_false_is_not_warned_of(value: str) -> None:
    loaded = load_environment({**URL, "GOVC_INSECURE": value})
    assert not any("GOVC_INSECURE" in each for each in loaded.warnings)


def known(folder: Path, *lines: str, name: str = "known_hosts") -> str:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"vcsa.lab:443 {OLD}", f"vcsa.lab {NEW}"], (NEW,)),
        ([f"vcsa.lab {SHA1}", f"vcsa.lab {NEW}"], (NEW,)),
        ([f"vcsa.lab {NEW}", f"other.lab {OLD}"], (NEW,)),
        ([f"vcsa.lab {NEW}", "vcsa.lab"], (NEW,)),
    ],
)
def test_the_last_line_for_a_host_counts(
    tmp_path: Path, lines: list[str], expected: tuple[str, ...]
) -> None:
    loaded = load_environment({**URL, "GOVC_TLS_KNOWN_HOSTS": known(tmp_path, *lines)})
    assert vcenter_of(loaded).known_fingerprints == expected


def test_later_files_count_before_earlier_ones(tmp_path: Path) -> None:
    first = known(tmp_path, f"vcsa.lab {OLD}", name="first")
    second = known(tmp_path, f"\N{BYTE ORDER MARK}vcsa.lab {NEW}", name="second")
    paths = os.pathsep.join([first, str(tmp_path / "missing"), second])
    loaded = load_environment({**URL, "GOVC_TLS_KNOWN_HOSTS": paths})
    assert vcenter_of(loaded).known_fingerprints == (NEW,)


def test_a_missing_file_of_hosts_is_an_empty_one() -> None:
    loaded = load_environment({**URL, "GOVC_TLS_KNOWN_HOSTS": "/nowhere/known_hosts"})
    assert vcenter_of(loaded).known_fingerprints == ()


def test_a_last_line_that_cannot_be_used_is_warned_of(tmp_path: Path) -> None:
    hosts = known(tmp_path, f"vcsa.lab {OLD}", f"vcsa.lab {SHA1}")
    loaded = load_environment({**URL, "GOVC_TLS_KNOWN_HOSTS": hosts})
    assert vcenter_of(loaded).known_fingerprints == ()
    assert any(
        f"{hosts}:2: vcsa.lab: is ignored: it is a SHA-1" in each for each in loaded.warnings
    )


@pytest.mark.parametrize("name", ["GOVC_TLS_KNOWN_HOSTS", "GOVC_TLS_CA_CERTS"])
def test_a_home_folder_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: .*cannot be expanded"):
        load_environment({**URL, name: "~no-such-user/file"})


def test_authorities_and_known_hosts_go_together(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.write_text("-----BEGIN CERTIFICATE-----\n")
    hosts = known(tmp_path, f"vcsa.lab {NEW}")
    loaded = load_environment(
        {**URL, "GOVC_TLS_CA_CERTS": str(authorities), "GOVC_TLS_KNOWN_HOSTS": hosts}
    )
    vcenter = vcenter_of(loaded)
    assert (vcenter.ca_files, vcenter.known_fingerprints) == ((authorities,), (NEW,))


async def test_user_and_password_may_stand_in_files(tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text("uploader@vsphere.local\n")
    password.write_text("\N{BYTE ORDER MARK} s3cret \r\n")
    environ = {**URL, "GOVC_USERNAME": str(user), "GOVC_PASSWORD": str(password)}
    vcenter = vcenter_of(load_environment(environ))
    assert vcenter.username == "uploader@vsphere.local"
    assert await read_password(vcenter, environ) == "s3cret"
    # It is read at each login.
    password.write_text("rotated")
    assert await read_password(vcenter, environ) == "rotated"


@pytest.mark.parametrize("password", ["/no/such/file", "/", "a\0b", "x" * 5000])
async def test_what_names_no_file_is_the_password_itself(password: str) -> None:
    environ = {**URL, "GOVC_USERNAME": "u", "GOVC_PASSWORD": password}
    vcenter = vcenter_of(load_environment(environ))
    assert await read_password(vcenter, environ) == password


async def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = "names a file that cannot be read"
    for odd in (str(pipe), "/dev/null"):
        environ = {**URL, "GOVC_USERNAME": "u", "GOVC_PASSWORD": odd}
        with pytest.raises(SecretError, match=f"^GOVC_PASSWORD {words}"):
            await read_password(vcenter_of(load_environment(environ)), environ)
        with pytest.raises(ConfigError, match=f"GOVC_USERNAME: {words}"):
            load_environment({**environ, "GOVC_USERNAME": odd})


async def test_a_file_that_is_no_text_is_named_and_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfesecret")
    environ = {**URL, "GOVC_USERNAME": "u", "GOVC_PASSWORD": str(file)}
    with pytest.raises(SecretError, match="GOVC_PASSWORD names a file that is not UTF-8"):
        await read_password(vcenter_of(load_environment(environ)), environ)
    with pytest.raises(ConfigError, match="GOVC_USERNAME: names a file that is not UTF-8 text"):
        load_environment({**environ, "GOVC_USERNAME": str(file)})


async def test_other_variables_hold_the_password_alone(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret")
    vcenter = validate(
        VCenterSettings,
        {"url": "https://vcsa.lab", "username": "u", "password_env": "LAB_PASSWORD"},
    )
    assert await read_password(vcenter, {"LAB_PASSWORD": str(file)}) == str(file)


async def test_a_password_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("\N{BYTE ORDER MARK}s3cret\r\n")
    vcenter = validate(
        VCenterSettings, {"url": "https://vcsa.lab", "username": "u", "password_file": file}
    )
    assert await read_password(vcenter, {}) == "s3cret"
