"""What comes out of a configuration that is good."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import sys
from pathlib import Path

import pytest
import yaml

from keepalived.control.encoding import to_json
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.progress import Progress
from keepalived.settings import (
    ConfigError,
    Dialect,
    LogFormat,
    LogLevel,
    Observe,
    Representation,
    Settings,
    VCenterSettings,
    document,
    load_settings,
    loader,
    read_sessions,
)
from keepalived.settings.checks import risky

EVERYTHING = """\
vcenters:
  lab:
    url: https://vcsa.lab.example:443/sdk
    username: uploader@vsphere.local
    password_env: LAB_PASSWORD
    dialect: rest
    representation: xml
    session_timeout: 10m
    request_timeout: 9s
    max_in_flight: 4
    fingerprints: [{fingerprint}]
    proxy: http://proxy.example:3128
    observe: minimal
  prod: {{url: "https://vcsa.prod.example", request_timeout: auto}}
sessions:
  - {{id: "a:b", vcenter: lab, progress: 10, max_lifetime: 2d, note: nightly}}
  - {{id: "a:b", vcenter: prod, kind: download, bytes_done: 1, bytes_total: 4}}
session_files: [sessions.d/*.yaml, /run/sessions.yaml]
http: {{listen: "[::1]:0", page: false}}
metrics: {{max_sessions: 5, session_labels: false}}
log: {{format: json, level: debug}}
retention: {{ended: 1m, failed: 1d}}
""".format(fingerprint=("AB:" * 32)[:-1])

PEM = "-----BEGIN CERTIFICATE-----\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path, EVERYTHING)
    loaded = load_settings(path, {"LAB_PASSWORD": "x"})
    assert loaded.path == path
    settings = loaded.settings
    lab, prod = settings.vcenters["lab"], settings.vcenters["prod"]
    assert lab.url == "https://vcsa.lab.example"
    assert (lab.username, lab.password_env) == ("uploader@vsphere.local", "LAB_PASSWORD")
    assert (lab.dialect, lab.representation) == (Dialect.REST, Representation.XML)
    assert (lab.session_timeout, lab.request_timeout, lab.max_in_flight) == (600.0, 9.0, 4)
    assert lab.fingerprints == ("ab" * 32,)
    assert (lab.proxy, lab.observe) == ("http://proxy.example:3128", Observe.MINIMAL)
    assert prod.request_timeout is None
    first, second = settings.sessions
    assert (first.id, first.kind, first.max_lifetime) == ("a:b", Kind.UPDATE, 172800.0)
    assert first.options.known_progress() == Progress(10)
    assert second.kind is Kind.DOWNLOAD
    assert second.options.known_progress() == Progress(None, 1, 4)
    assert settings.session_files == (f"{tmp_path}/sessions.d/*.yaml", "/run/sessions.yaml")
    assert (settings.http.listen, settings.http.page) == ("[::1]:0", False)
    assert (settings.metrics.max_sessions, settings.metrics.session_labels) == (5, False)
    assert (settings.log.format, settings.log.level) == (LogFormat.JSON, LogLevel.DEBUG)
    assert (settings.retention.ended, settings.retention.failed) == (60.0, 86400.0)


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    loaded = load_settings(write(tmp_path, "vcenters: {lab: {url: 'https://x'}}"), {})
    lab = loaded.settings.vcenters["lab"]
    assert (lab.dialect, lab.representation) == (Dialect.AUTO, Representation.JSON)
    assert (lab.session_timeout, lab.request_timeout, lab.max_in_flight) == (300.0, None, 8)
    assert (lab.ca_files, lab.fingerprints, lab.insecure, lab.proxy) == ((), (), False, None)
    assert lab.observe is Observe.FILES
    settings = loaded.settings
    assert (settings.sessions, settings.session_files) == ((), ())
    assert (settings.http.listen, settings.http.page) == ("127.0.0.1:9878", True)
    assert (settings.log.format, settings.log.level) == (LogFormat.AUTO, LogLevel.INFO)
    assert (settings.retention.ended, settings.retention.failed) == (3600.0, 604800.0)
    assert (settings.metrics.max_sessions, settings.metrics.session_labels) == (1000, True)


def test_relative_paths_count_from_the_folder_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("etc").mkdir()
    for name in ("ca.pem", "password"):
        Path("etc", name).write_text(PEM)
    lines = "url: 'https://x', username: u, password_file: password, ca_file: ca.pem"
    path = write(Path("etc"), f"vcenters: {{lab: {{{lines}}}}}\nsession_files: s/*.yaml")
    settings = load_settings(path, {}).settings
    lab = settings.vcenters["lab"]
    assert lab.password_file == tmp_path / "etc" / "password"
    assert lab.ca_files == (tmp_path / "etc" / "ca.pem",)
    assert settings.session_files == (f"{tmp_path}/etc/s/*.yaml",)


def test_the_default_place_is_read_when_no_other_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "vcenters: {lab: {url: 'https://x'}}")
    monkeypatch.setattr(loader, "DEFAULT_PATH", path)
    loaded = load_settings(None, {"GOVC_URL": "https://other"})
    assert list(loaded.settings.vcenters) == ["lab"]
    assert loaded.path == path


def test_a_pipe_can_be_read_once_and_is_not_named_for_later(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"vcenters: {lab: {url: 'https://x'}}")
    os.close(writing)
    loaded = load_settings(Path(f"/dev/fd/{reading}"), {})
    os.close(reading)
    assert list(loaded.settings.vcenters) == ["lab"]
    assert loaded.path is None


def test_settings_do_not_change() -> None:
    settings = VCenterSettings(url="https://x")
    with pytest.raises(AttributeError, match="frozen"):
        settings.url = "https://y"  # type: ignore[misc]  # that is the point


def test_sessions_are_read_beside_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "sessions.yaml"
    path.write_text("sessions: [{id: a}, {id: b, progress: 200}, {id: c/d}, {id: e}, 5]")
    said = read_sessions(path, ("lab",))
    assert [key for key, _ in said.entries] == [
        SessionKey("lab", Kind.UPDATE, "a"),
        SessionKey("lab", Kind.UPDATE, "e"),
    ]
    assert len(said.problems) == 3
    assert said.doubtful_ids == {"b", "c/d"}


def test_a_configuration_can_be_read_for_its_sessions_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "vcenters: broken\nsessions: [{id: a}]")
    assert len(read_sessions(path, ("lab",), alone=False).entries) == 1
    path = write(tmp_path, "vcenters: broken\n")
    assert read_sessions(path, ("lab",), alone=False).entries == ()


def test_a_file_too_large_to_be_meant_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.yaml"
    with path.open("wb") as file:
        file.truncate(300 << 20)
    with pytest.raises(ConfigError, match="the file has 300 MiB"):
        read_sessions(path, ("lab",))


def test_the_garbage_collector_works_again_after_reading(tmp_path: Path) -> None:
    write(tmp_path, "x: [")
    with pytest.raises(ConfigError):
        load_settings(tmp_path / "config.yaml", {})
    assert gc.isenabled()
    gc.disable()
    try:
        with pytest.raises(ConfigError):
            load_settings(tmp_path / "config.yaml", {})
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_password_in_a_pipe_is_not_used_up_by_looking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "password", mode=0o600)
    lines = "url: 'https://x', username: u, password_file: password"
    loaded = load_settings(write(tmp_path, f"vcenters: {{lab: {{{lines}}}}}"), {})
    assert loaded.warnings == ()


def test_a_password_file_that_vanishes_while_it_is_looked_at_is_not_warned_of() -> None:
    vcenter = VCenterSettings(url="https://x", username="u", password_file=Path("/nowhere"))
    assert list(risky(Settings(vcenters={"lab": vcenter}), {})) == []


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    spec = importlib.util.spec_from_file_location("slow_document", document.__file__)
    assert spec is not None
    assert spec.loader is not None
    slow = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "slow_document", slow)
    spec.loader.exec_module(slow)
    assert (
        slow.parse("x", EVERYTHING.encode()).data == document.parse("x", EVERYTHING.encode()).data
    )
    for broken in ("a:\n\tb: c", "a: @b", "a: b: c", "a: *b", "a: {b", "a:\n  b: c\n d: e"):
        with pytest.raises(ConfigError, match="not valid YAML: ") as said:
            document.parse("x", broken.encode())
        with pytest.raises(ConfigError, match="not valid YAML: ") as slowly:
            slow.parse("x", broken.encode())
        assert str(slowly.value) == str(said.value)


# -- govc's environment


@pytest.fixture
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "nowhere.yaml")


def govc(**environ: str) -> tuple[str, VCenterSettings]:
    loaded = load_settings(None, environ)
    assert loaded.path is None
    ((name, vcenter),) = loaded.settings.vcenters.items()
    return name, vcenter


@pytest.mark.usefixtures("_no_file")
def test_a_password_in_govc_url_is_usable_and_never_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, vcenter = govc(GOVC_URL="https://admin%40vsphere.local:hunter%2F2@vcsa.lab:8443/sdk")
    assert (name, vcenter.url) == ("vcsa.lab", "https://vcsa.lab:8443")
    assert vcenter.username == "admin@vsphere.local"
    assert vcenter.password is not None
    assert vcenter.password.reveal() == "hunter/2"
    settings = Settings(vcenters={name: vcenter})
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().info("%r %s", settings, settings)
    shown = caplog.text + to_json(settings).decode() + f"{vcenter.password} {vcenter.password!r}"
    assert "hunter" not in shown


@pytest.mark.usefixtures("_no_file")
def test_govc_variables_beat_what_the_url_says() -> None:
    _, vcenter = govc(GOVC_URL="https://u:x@vcsa.lab", GOVC_USERNAME="v", GOVC_PASSWORD="y")
    assert (vcenter.username, vcenter.password_env) == ("v", "GOVC_PASSWORD")
    assert vcenter.password is None


@pytest.mark.usefixtures("_no_file")
def test_a_govc_url_alone_logs_nobody_in() -> None:
    _, vcenter = govc(GOVC_URL="http://127.0.0.1:8989/sdk")
    assert (vcenter.url, vcenter.username) == ("http://127.0.0.1:8989", None)


@pytest.mark.usefixtures("_no_file")
def test_an_ipv6_address_names_the_vcenter() -> None:
    name, vcenter = govc(GOVC_URL="https://[fd00::1]/sdk")
    assert (name, vcenter.url) == ("fd00::1", "https://[fd00::1]")


@pytest.mark.usefixtures("_no_file")
@pytest.mark.parametrize(("value", "insecure"), [("1", True), ("true", True), ("0", False)])
def test_govc_insecure(value: str, insecure: bool) -> None:
    assert govc(GOVC_URL="https://x", GOVC_INSECURE=value)[1].insecure is insecure


@pytest.mark.usefixtures("_no_file")
def test_govc_ca_certs_are_a_list_of_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pem", tmp_path / "b.pem"
    for path in (first, second):
        path.write_text(PEM)
    _, vcenter = govc(
        GOVC_URL="https://x",
        GOVC_TLS_CA_CERTS=f"{first}:{second}",
        GOVC_TLS_KNOWN_HOSTS="/nowhere",
    )
    assert vcenter.ca_files == (first, second)


@pytest.mark.usefixtures("_no_file")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://vcsa.lab", ("ab" * 32,)),
        ("https://vcsa.lab:443", ("ab" * 32,)),
        ("https://vcsa.lab:8443", ("cd" * 32,)),
        ("https://[fd00::1]", ("ef" * 32,)),
        ("https://other.lab", ()),
    ],
)
def test_govc_known_hosts(tmp_path: Path, url: str, expected: tuple[str, ...]) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text(
        f"# hosts\n\nvcsa.lab:443 {'AB:' * 31}AB\nvcsa.lab:8443 {'cd' * 32}\n"
        f"[fd00::1]:443 {'ef' * 32}\nthird.lab {'12' * 20}\n"
    )
    _, vcenter = govc(GOVC_URL=url, GOVC_TLS_KNOWN_HOSTS=str(hosts))
    assert vcenter.known_fingerprints == expected


@pytest.mark.usefixtures("_no_file")
def test_govc_known_hosts_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    paths = f"{tmp_path}/nowhere:{tmp_path}/binary"
    with pytest.raises(ConfigError) as caught:
        govc(GOVC_URL="https://x", GOVC_TLS_KNOWN_HOSTS=paths)
    assert [str(problem) for problem in caught.value.problems] == [
        f"environment: GOVC_TLS_KNOWN_HOSTS: {tmp_path}/binary: this is not UTF-8 text",
    ]


@pytest.mark.usefixtures("_no_file")
def test_a_govc_url_with_a_name_that_nothing_else_could_hold() -> None:
    with pytest.raises(ConfigError, match="GOVC_URL: a vCenter's name consists of"):
        govc(GOVC_URL="https://vcsä.example")
