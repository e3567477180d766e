"""`check-config`, read as a person reads it: what it says of good and of bad configurations."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepalived.cli.check_config import check_config
from keepalived.settings import loader

Check = Callable[..., Result]

LAB = """\
vcenters:
  lab:
    url: https://vcsa.lab.example/sdk
    username: uploader@vsphere.local
    password_env: LAB_PASSWORD
"""
PROD = """\
  prod:
    url: https://vcsa.prod.example
    username: uploader@vsphere.local
    password_env: LAB_PASSWORD
"""
SECRET = "hunter2"
PEM = "-----BEGIN CERTIFICATE-----\n"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path that a test writes its configuration to, and where it stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loader, "DEFAULT_PATH", tmp_path / "nowhere.yaml")
    return Path("config.yaml")


@pytest.fixture
def check(config: Path) -> Check:
    """Write a configuration and check it."""

    def run(content: str | bytes | None, /, **environ: str) -> Result:
        if content is not None:
            config.write_bytes(content if isinstance(content, bytes) else content.encode())
        env = {"LAB_PASSWORD": SECRET, **environ}
        result = CliRunner().invoke(check_config, [str(config)], env=env)
        assert SECRET not in result.output
        return result

    return run


def errors(result: Result) -> list[str]:
    """The problems that were told, without the count that ends them."""
    assert result.exit_code == 78, result.output
    *problems, count = result.stderr.splitlines()
    assert count == f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
    assert result.stdout == ""
    return problems


def warnings(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.removeprefix("warning: ") for line in result.stderr.splitlines()]


# -- good configurations


def test_a_good_configuration_is_summed_up_in_words(check: Check, tmp_path: Path) -> None:
    Path(tmp_path, "night.yaml").write_text("sessions: [{id: c}, {id: d}]")
    result = check(LAB + "sessions: [{id: a}]\nsession_files: night.yaml\n")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "config.yaml: good",
        "  1 vCenter",
        "    lab: https://vcsa.lab.example as uploader@vsphere.local, sessions live 5m",
        "  1 session in the configuration",
        "  2 sessions in 1 session file",
        "  metrics and health on 127.0.0.1:9878",
    ]


def test_the_environment_names_the_configuration(config: Path) -> None:
    config.write_text(LAB)
    env = {"CLKEEPALIVED_CONFIG": str(config), "LAB_PASSWORD": SECRET}
    result = CliRunner().invoke(check_config, [], env=env)
    assert result.exit_code == 0
    assert "config.yaml: good" in result.stdout


def test_as_the_command_that_people_type(config: Path) -> None:
    config.write_text(LAB + "sesions: []\n")
    done = subprocess.run(
        [sys.executable, "-m", "keepalived.cli", "check-config", str(config)],
        env={**os.environ, "LAB_PASSWORD": SECRET},
        cwd=config.absolute().parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr == (
        "config.yaml:6: sesions: this key is not known; did you mean 'sessions'?\n1 problem\n"
    )


# -- the file as a whole


def test_a_missing_file(check: Check) -> None:
    assert errors(check(None)) == ["config.yaml: there is no such file"]


def test_a_folder(config: Path) -> None:
    config.mkdir()
    result = CliRunner().invoke(check_config, [str(config)])
    assert errors(result) == ["config.yaml: this is a folder, not a file"]


def test_no_configuration_at_all(config: Path) -> None:
    result = CliRunner().invoke(check_config, [])
    (problem,) = errors(result)
    assert problem.endswith(
        "nowhere.yaml: there is no such file; write it, name another one by --config, "
        "or set GOVC_URL"
    )


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing but a comment\n", "---\n"])
def test_an_empty_file(check: Check, content: str) -> None:
    (problem,) = errors(check(content))
    assert "the file is empty; it needs at least `vcenters:` with one vCenter" in problem


def test_no_mapping(check: Check) -> None:
    assert errors(check("- lab\n")) == [
        "config.yaml: holds a list; a configuration is a mapping that begins with `vcenters:`"
    ]


def test_no_utf8(check: Check) -> None:
    assert errors(check(LAB.encode() + b"# caf\xe9\n")) == [
        "config.yaml:6: not UTF-8 text; save the file in the encoding UTF-8"
    ]


def test_a_byte_order_mark_does_no_harm(check: Check) -> None:
    assert check(b"\xef\xbb\xbf" + LAB.encode()).exit_code == 0


# -- YAML


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("vcenters:\n\tlab:\n", 2, "a tab; YAML is indented by spaces only"),
        ("vcenters:\n  lab:\n  \turl: x\n", 3, "a tab; YAML is indented by spaces only"),
        ("a: 'b\n\n", 1, "a quote is opened and never closed"),
        ("a: {b: c\n\n", 1, "a '{' is opened, and neither ',' nor '}' follows where it must"),
        ("a: [b\nc: d\n", 1, "a '[' is opened, and neither ',' nor ']' follows where it must"),
        ("a: @b\n", 1, "a value that begins with '@' must stand in quotes"),
        ("a: *hunter2\n", 1, "a value that begins with '*' must stand in quotes"),
        ("a: !hunter2\n", 1, "a value that begins with '!' must stand in quotes"),
        ("a: b: c\n", 1, "a ':' too many; put a value that has ': ' in it in quotes"),
        ("a:\n  b: c\n d: e\n", 3, "a line that is no 'key: value'; check the indentation"),
        ("a: 1\n- b\n", 2, "a line that is no 'key: value'; check the indentation"),
        ("- a\nb: c\n", 2, "a line in a list that does not begin with '- '"),
        ("a: b\n---\nc: d\n", 2, "a second document begins here ('---'); put all into one"),
        ("[a]: b\n", 1, "a list or a mapping cannot be a key; put text with brackets in quotes"),
    ],
)
def test_yaml_that_is_none(check: Check, content: str, line: int, said: str) -> None:
    assert errors(check(content)) == [f"config.yaml:{line}: not valid YAML: {said}"]


def test_a_control_character(check: Check) -> None:
    assert errors(check("a: \x07\n")) == [
        "config.yaml:1: the control character '\\x07' cannot stand in YAML"
    ]


@pytest.mark.parametrize("opening", ["[", "- ", "{a: "])
def test_what_is_nested_too_deep_for_the_parser(check: Check, opening: str) -> None:
    assert errors(check(opening * 100_000)) == [
        "config.yaml:1: nested more than 50 levels deep; no configuration is"
    ]


def test_a_number_that_nobody_can_read(check: Check) -> None:
    assert errors(check("a: " + "1" * 5000)) == [
        "config.yaml: not valid YAML: a value that cannot be read"
    ]


def test_every_key_that_stands_twice(check: Check) -> None:
    assert errors(check(LAB + "    username: x\nhttp: {}\nhttp: {}\n")) == [
        "config.yaml:6: vcenters.lab.username: stands twice; the first is on line 4",
        "config.yaml:8: http: stands twice; the first is on line 7",
    ]


def test_anchors_and_merged_keys_are_no_duplicates(check: Check) -> None:
    result = check("""\
vcenters:
  lab: &usual {url: "https://lab", username: u, password_env: LAB_PASSWORD, session_timeout: 9m}
  prod: {<<: *usual, url: "https://prod", session_timeout: 5m}
""")
    assert result.exit_code == 0
    assert "prod: https://prod as u, sessions live 5m" in result.stdout


def test_a_document_that_contains_itself_ends(check: Check) -> None:
    assert "config.yaml:1: vcenters.lab.url: is missing" in errors(
        check("vcenters: &all {lab: *all}")
    )


def test_dates_stay_text(check: Check) -> None:
    assert check(LAB + "sessions: [{id: a, note: 2026-13-45}]").exit_code == 0


# -- settings


def test_everything_that_is_wrong_is_said_at_once(check: Check) -> None:
    assert errors(
        check("""\
vcenters:
  lab:
    url: https://vcsa.lab.example
    username: u
    session_timeout: five minutes
    max_in_flight: 0
    dialect: soap
    insecure: sure
    ca_fille: /x
  prod: https://prod
  a/b: {url: "https://x"}
  7: {url: "https://x"}
http: {listen: 9878}
log: [info]
metrics: {max_sessions: "10"}
sessions: {id: a}
""")
    ) == [
        "config.yaml:4: vcenters.lab.username: needs a password: give password_file, "
        "password_env or credential",
        "config.yaml:5: vcenters.lab.session_timeout: 'five minutes' is not a duration; write "
        "for example 90s, 5m, 1h30m, 7d, or plain seconds",
        "config.yaml:6: vcenters.lab.max_in_flight: must be at least 1, not 0",
        "config.yaml:7: vcenters.lab.dialect: must be one of auto, api, rest, not 'soap'",
        "config.yaml:8: vcenters.lab.insecure: must be true or false, not 'sure'",
        "config.yaml:9: vcenters.lab.ca_fille: this key is not known; did you mean 'ca_file'?",
        "config.yaml:10: vcenters.prod: must be a mapping, `key: value`, not text",
        "config.yaml:11: vcenters.a/b: a vCenter's name consists of letters, digits and . _ : -",
        "config.yaml:12: vcenters[7]: must be text, not a number; put it in quotes",
        "config.yaml:13: http.listen: must be text, not a number; put it in quotes",
        "config.yaml:14: log: must be a mapping, `key: value`, not a list",
        "config.yaml:15: metrics.max_sessions: must be a whole number, not '10'; "
        "leave the quotes away",
        "config.yaml:16: sessions: must be a list, one '- ' a session, not a mapping",
    ]


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
def test_unknown_keys_name_the_nearest(check: Check, line: str, said: str) -> None:
    (problem,) = errors(check(LAB + line + "\n"))
    assert problem.startswith("config.yaml:6: ")
    assert problem.endswith(f": this key is not known; {said}")


@pytest.mark.parametrize("vcenters", ["", "vcenters:\n", "vcenters: {}\n"])
def test_at_least_one_vcenter(check: Check, vcenters: str) -> None:
    (problem,) = errors(check(vcenters + "log: {level: debug}\n"))
    assert "vcenters: is missing" in problem or "vcenters: must not be empty" in problem


def test_keys_left_empty_are_as_good_as_left_out(check: Check) -> None:
    empty = "    proxy:\n    ca_file:\nsessions:\nsession_files:\nhttp:\n"
    assert check(LAB + empty).exit_code == 0


# -- passwords and trust


@pytest.mark.parametrize("key", ["password", "pasword", "passwd", "Password"])
def test_a_password_is_refused_with_the_three_right_ways(check: Check, key: str) -> None:
    problems = errors(check(LAB + f"    {key}: {SECRET}\n"))
    assert problems == [
        f"config.yaml:6: vcenters.lab.{key}: secrets do not belong in this file; name where the "
        "password is: `password_file: /path`, `password_env: NAME`, or `credential: NAME` (systemd)"
    ]


def test_a_password_in_the_url_is_refused(check: Check) -> None:
    url = f"https://u:{SECRET}@vcsa.lab.example/sdk"
    assert errors(check(LAB.replace("https://vcsa.lab.example/sdk", url))) == [
        "config.yaml:3: vcenters.lab.url: holds a password, which does not belong here; take "
        "`user:password@` out, and give `username` and one of password_file, password_env or "
        "credential"
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
    check: Check, key: str, value: str, said: str
) -> None:
    quoted = f'"{value}"' if value.startswith("!") else value
    line = f"{key}: {quoted}"
    assert errors(check(LAB.replace("password_env: LAB_PASSWORD", line))) == [
        f"config.yaml:5: vcenters.lab.{key}: {said}"
    ]


def test_two_places_for_one_password(check: Check) -> None:
    assert errors(check(LAB + "    credential: lab\n")) == [
        "config.yaml:6: vcenters.lab.credential: password_env is given as well; give one of the two"
    ]


def test_a_password_of_nobody(check: Check) -> None:
    assert errors(check(LAB.replace("    username: uploader@vsphere.local\n", ""))) == [
        "config.yaml:2: vcenters.lab.username: is missing; password_env needs to know whose "
        "password it is"
    ]


def test_a_user_name_with_a_colon(check: Check) -> None:
    (problem,) = errors(check(LAB.replace("uploader@", f"uploader:{SECRET}@")))
    assert problem == (
        "config.yaml:4: vcenters.lab.username: a user name cannot contain ':', which ends it "
        "where it is sent"
    )


def test_a_variable_that_is_not_set(check: Check) -> None:
    assert errors(check(LAB, LAB_PASSWORD="")) == [
        "config.yaml:5: vcenters.lab.password_env: the environment variable LAB_PASSWORD is not "
        "set, or empty"
    ]


def with_password_file(path: Path | str) -> str:
    return LAB.replace("password_env: LAB_PASSWORD", f"password_file: {path}")


def test_a_password_file_beside_the_configuration(check: Check, tmp_path: Path) -> None:
    path = Path(tmp_path, "lab.password")
    path.write_text(SECRET)
    path.chmod(0o600)
    assert warnings(check(with_password_file("lab.password"))) == []


def test_a_world_readable_password_file_is_warned_of(check: Check, tmp_path: Path) -> None:
    path = Path(tmp_path, "lab.password")
    path.write_text(SECRET)
    path.chmod(0o644)
    assert warnings(check(with_password_file(path))) == [
        f"config.yaml:5: vcenters.lab.password_file: {path} can be read by every user; "
        "chmod 600 (or 640) it"
    ]


def test_a_missing_password_file(check: Check, tmp_path: Path) -> None:
    assert errors(check(with_password_file("nowhere"))) == [
        f"config.yaml:5: vcenters.lab.password_file: {tmp_path}/nowhere: there is no such file"
    ]


def test_an_empty_password_file(check: Check, tmp_path: Path) -> None:
    Path(tmp_path, "lab.password").touch(mode=0o600)
    (problem,) = errors(check(with_password_file("lab.password")))
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


def test_what_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "this user may not read it; see its owner and mode, and those of its folders"
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        Path(folder).chmod(0o755)
        Path("lab.password").touch(mode=0)
        Path("closed.yaml").touch(mode=0)
        Path("config.yaml").write_text(with_password_file("lab.password"))
        with as_nobody():
            assert errors(CliRunner().invoke(check_config, ["closed.yaml"])) == [
                f"closed.yaml: {words}"
            ]
            assert errors(CliRunner().invoke(check_config, ["config.yaml"])) == [
                f"config.yaml:5: vcenters.lab.password_file: {folder}/lab.password: {words}"
            ]
        monkeypatch.undo()


def test_a_systemd_credential(check: Check, tmp_path: Path) -> None:
    content = LAB.replace("password_env: LAB_PASSWORD", "credential: lab")
    assert warnings(check(content)) == [
        "config.yaml:5: vcenters.lab.credential: cannot be looked at here: only a service of "
        "systemd has credentials"
    ]
    assert errors(check(content, CREDENTIALS_DIRECTORY=str(tmp_path))) == [
        "config.yaml:5: vcenters.lab.credential: no such systemd credential (there is no such "
        "file); see LoadCredential="
    ]
    Path(tmp_path, "lab").write_text(SECRET)
    assert warnings(check(content, CREDENTIALS_DIRECTORY=str(tmp_path))) == []


def test_only_one_way_to_trust(check: Check, tmp_path: Path) -> None:
    Path(tmp_path, "ca.pem").write_text(PEM)
    lines = f"    ca_file: ca.pem\n    fingerprints: [{'ab' * 32}]\n    insecure: true\n"
    said = "ca_file is given as well; give only one of ca_file, fingerprints, insecure"
    assert errors(check(LAB + lines)) == [
        f"config.yaml:7: vcenters.lab.fingerprints: {said}",
        f"config.yaml:8: vcenters.lab.insecure: {said}",
    ]


def test_fingerprints_and_insecure(check: Check) -> None:
    lines = f"    fingerprints: {'AB:' * 31}AB\n    insecure: true\n"
    assert errors(check(LAB + lines)) == [
        "config.yaml:7: vcenters.lab.insecure: fingerprints is given as well; give only one of "
        "ca_file, fingerprints, insecure"
    ]


def test_a_sha1_fingerprint(check: Check) -> None:
    (problem,) = errors(check(LAB + f"    fingerprints: [{'AB:' * 19}AB]\n"))
    assert problem.startswith(
        "config.yaml:6: vcenters.lab.fingerprints[0]: is a SHA-1 fingerprint, which can be "
        "forged; take the SHA-256, which `clkeepalived check-config --connect` shows"
    )


def test_a_missing_ca_file(check: Check, tmp_path: Path) -> None:
    assert errors(check(LAB + "    ca_file: ca.pem\n")) == [
        f"config.yaml:6: vcenters.lab.ca_file: {tmp_path}/ca.pem: there is no such file"
    ]


def test_a_ca_file_that_is_none(check: Check, tmp_path: Path) -> None:
    Path(tmp_path, "ca.der").write_bytes(b"\x30\x82")
    assert errors(check(LAB + "    ca_file: ca.der\n")) == [
        f"config.yaml:6: vcenters.lab.ca_file: {tmp_path}/ca.der: there is no certificate in PEM "
        "form in it"
    ]
    assert errors(check(LAB + f"    ca_file: {tmp_path}\n")) == [
        f"config.yaml:6: vcenters.lab.ca_file: {tmp_path}: this is a folder, not a file"
    ]


def test_what_is_risky_is_warned_of(check: Check) -> None:
    content = LAB.replace("https://", "http://") + "    insecure: true\n    request_timeout: 60s\n"
    assert warnings(check(content)) == [
        "config.yaml:3: vcenters.lab.url: http:// sends the password and the token in clear; "
        "use https://",
        "config.yaml:6: vcenters.lab.insecure: whoever answers is trusted with the password; "
        "prefer `fingerprints`",
        "config.yaml:7: vcenters.lab.request_timeout: with 1m, only 2 attempts that time out fit "
        "before a session expires after 5m; use `auto`",
    ]


def test_http_to_this_machine_is_no_risk(check: Check) -> None:
    assert warnings(check(LAB.replace("https://vcsa.lab.example", "http://127.0.0.1:8989"))) == []


def test_nobody_to_log_in_as_is_warned_of(check: Check) -> None:
    assert warnings(check("vcenters: {lab: {url: https://lab}}")) == [
        "config.yaml:1: vcenters.lab.username: is missing: nothing logs in here, and vCenter "
        "refuses what nobody asks; every session needs an API token of its own (`token_file`, or "
        "lent over the socket)"
    ]


def test_xml_and_form_belong_to_rest(check: Check) -> None:
    assert errors(check(LAB + "    dialect: api\n    representation: xml\n")) == [
        "config.yaml:7: vcenters.lab.representation: xml goes with `dialect: rest`, not with api"
    ]


def test_a_session_timeout_too_short_to_keep(check: Check) -> None:
    assert errors(check(LAB + "    session_timeout: 0.5s\n    request_timeout: 0\n")) == [
        "config.yaml:6: vcenters.lab.session_timeout: must be at least 1s",
        "config.yaml:7: vcenters.lab.request_timeout: must be longer than nothing",
    ]


def test_values_of_another_kind(check: Check) -> None:
    lines = "    proxy: true\n    username_: x\n    fingerprints: {a: b}\n    ca_file: 7\n"
    assert errors(check(LAB + lines)) == [
        "config.yaml:6: vcenters.lab.proxy: must be text, not true or false; put it in quotes",
        "config.yaml:7: vcenters.lab.username_: this key is not known; did you mean 'username'?",
        "config.yaml:8: vcenters.lab.fingerprints: must be a list, each with '- ', not a mapping",
        "config.yaml:9: vcenters.lab.ca_file: must be the path of a file, not a number",
    ]


def test_certificates_of_several_files_are_a_matter_of_govc_alone(check: Check) -> None:
    assert errors(check(LAB + "    more_ca_files: [a.pem]\n")) == [
        "config.yaml:6: vcenters.lab.more_ca_files: give one file, with all the certificates, "
        "as `ca_file`"
    ]


def test_an_empty_session(check: Check) -> None:
    assert errors(check(LAB + "sessions:\n  -\n  - !!binary aGk=\n")) == [
        "config.yaml:7: sessions[0]: must be a mapping, `key: value`, not nothing",
        "config.yaml:8: sessions[1]: must be a mapping, `key: value`, not something else",
    ]


# -- sessions


@pytest.mark.parametrize(
    ("entry", "key", "said"),
    [
        ("{id: a, progress: 101}", "progress", "must be at most 100, not 101"),
        ("{id: a, progress: -1}", "progress", "must be at least 0, not -1"),
        ("{id: a, progress: ten}", "progress", "must be a whole number, not 'ten'"),
        ("{id: a, progress: true}", "progress", "must be a whole number, not true"),
        ("{id: a, progress: 10.5}", "progress", "must be a whole number, not 10.5"),
        (
            '{id: a, progress: "50"}',
            "progress",
            "must be a whole number, not '50'; leave the quotes away",
        ),
        ("{id: a, progress: [5]}", "progress", "must be a whole number, not a list"),
        ("{id: a, bytes_done: -1}", "bytes_done", "must be at least 0, not -1"),
        (
            "{id: a, bytes_done: 3, bytes_total: 2}",
            "bytes_total",
            "2 is less than the 3 of bytes_done",
        ),
        (
            "{id: a, progress: 1, bytes_done: 3}",
            "bytes_done",
            "progress is given as well; give progress in percent or in bytes",
        ),
        (
            "{id: a, progress: 1, bytes_total: 3}",
            "bytes_total",
            "progress is given as well; give progress in percent or in bytes",
        ),
        (
            "{id: a, progress: 0, path: x.iso}",
            "path",
            "progress is given as well; the size of this file is the total",
        ),
        (
            "{id: a, bytes_total: 3, path: x.iso}",
            "path",
            "bytes_total is given as well; the size of this file is the total",
        ),
        ("{id: a, path: 5}", "path", "must be the path of a file, not a number"),
        ("{id: a, token_file: [x]}", "token_file", "must be the path of a file, not a list"),
        ("{id: a, token: x}", "token", "this key is not known; did you mean 'token_file'?"),
        ("{id: a, kind: upload}", "kind", "must be one of update, download, not 'upload'"),
        (
            "{id: a, kind: downlod}",
            "kind",
            "must be one of update, download, not 'downlod'; did you mean 'download'?",
        ),
        ("{id: a, max_lifetime: 0}", "max_lifetime", "must be longer than nothing"),
        (
            "{id: a, max_lifetime: long}",
            "max_lifetime",
            "'long' is not a duration; write for example 90s, 5m, 1h30m, 7d, or plain seconds",
        ),
        ("{id: a, note: 5}", "note", "must be text, not a number; put it in quotes"),
        ("{id: a, progres: 5}", "progres", "this key is not known; did you mean 'progress'?"),
        ("{id: a, id: b}", "id", "stands twice; the first is on line 7"),
        ("{id: 815994}", "id", "must be text, not a number; put it in quotes"),
        ("{progress: 5}", "id", "is missing"),
        ("{id: ''}", "id", "a session id must not be empty"),
        ("{id: a, vcenter: lob}", "vcenter", "there is no vCenter 'lob'; did you mean 'lab'?"),
        ("{id: a, vcenter: xyz}", "vcenter", "there is no vCenter 'xyz'; there are: lab"),
    ],
)
def test_bad_sessions(check: Check, entry: str, key: str, said: str) -> None:
    assert errors(check(LAB + f"sessions:\n  - {entry}\n")) == [
        f"config.yaml:7: sessions[0].{key}: {said}"
    ]


def test_a_session_that_is_an_id_alone(check: Check) -> None:
    assert errors(check(LAB + "sessions: [a]\n")) == [
        "config.yaml:6: sessions[0]: must be a mapping, `key: value`, not text"
    ]


@pytest.mark.parametrize("name", ["a/b", "../../session", ".", "..", "a b", "a%2Fb", "a?b", "é"])
def test_ids_that_could_lead_elsewhere(check: Check, name: str) -> None:
    assert errors(check(LAB + f"sessions: [{{id: {name!r}}}]\n")) == [
        f"config.yaml:6: sessions[0].id: {name!r} is not a session id: ids consist of letters, "
        "digits and . _ : - and are neither '.' nor '..'"
    ]


def test_ids_with_control_characters_are_shown_without_their_effect(check: Check) -> None:
    assert errors(check(LAB + 'sessions: [{id: "a\\e[2J\\n"}]\n')) == [
        r"config.yaml:6: sessions[0].id: 'a\x1b[2J\n' is not a session id: ids consist of letters, "
        "digits and . _ : - and are neither '.' nor '..'"
    ]


def test_keys_with_control_characters_are_shown_without_their_effect(check: Check) -> None:
    (problem,) = errors(check(LAB + '"a\\e[2J\\nb": 1\n'))
    assert problem.startswith(r"config.yaml:6: a\x1b[2J\nb: this key is not known")


def test_the_same_session_twice(check: Check) -> None:
    sessions = """\
sessions:
  - {id: a}
  - {id: b}
  - {id: a, kind: download}
  - {id: a, vcenter: lab, progress: 5}
"""
    assert errors(check(LAB + sessions)) == [
        "config.yaml:10: sessions[3]: the same session as on line 7"
    ]


def test_two_vcenters_and_a_session_that_names_none(check: Check) -> None:
    assert errors(check(LAB + PROD + "sessions: [{id: a}, {id: a, vcenter: prod}]\n")) == [
        "config.yaml:10: sessions[0].vcenter: is missing; say which has the session: lab, prod"
    ]


# -- session files


def test_bad_lines_in_session_files_are_warned_of_and_stop_nobody(
    check: Check, tmp_path: Path
) -> None:
    folder = tmp_path / "sessions.d"
    folder.mkdir()
    Path(folder, "a.yaml").write_text("sessions:\n  - {id: a}\n  - {id: b, progress: 101}\n")
    Path(folder, "b.yaml").write_text("sessions: [\n")
    Path(folder, "c.yaml").write_text("")
    Path(folder, "d.yaml").write_text("- {id: d}\n")
    Path(folder, "e.yaml").write_text("vcenters: {}\nsessions: [{id: e}]\n")
    Path(folder, "f.yaml").write_text("session: []\n")
    Path(folder, "g.yaml").write_text("sessions: []\nsessions: []\n")
    result = check(LAB + "session_files: [sessions.d/*.yaml, later/*.yaml]\n")
    here = f"{folder}/"
    assert [line.removeprefix(here) for line in warnings(result)] == [
        f"session_files: {tmp_path}/later/*.yaml matches no file at present",
        "a.yaml:3: sessions[1].progress: must be at most 100, not 101",
        "b.yaml:2: not valid YAML: a bracket is opened and never closed",
        "c.yaml: the file is empty; one without sessions says `sessions: []`",
        "d.yaml: holds a list; begin it with `sessions:` and list them below, each with '- '",
        "e.yaml:1: vcenters: is not known here; a session file holds `sessions:` alone",
        "f.yaml: no `sessions:` in here; a file without sessions says `sessions: []`",
        "g.yaml:2: sessions: stands twice; the first is on line 1",
    ]
    assert "  2 sessions in 7 session files" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_hundred_thousand_sessions(check: Check) -> None:
    entries = "".join(f"  - {{id: 'session-{number}', progress: 7}}\n" for number in range(100_000))
    started = time.process_time()
    result = check(LAB + "sessions:\n" + entries)
    assert result.exit_code == 0
    assert "  100,000 sessions in the configuration" in result.stdout
    result = check(LAB + "sessions:\n" + entries + "  - {id: session-0}\n")
    assert errors(result) == ["config.yaml:100007: sessions[100000]: the same session as on line 7"]
    assert time.process_time() - started < 2 * 6


# -- govc's environment


def govc(**environ: str) -> Result:
    result = CliRunner().invoke(check_config, [], env=environ)
    assert SECRET not in result.output
    return result


@pytest.mark.usefixtures("config")
def test_govc_variables_are_enough() -> None:
    result = govc(GOVC_URL=f"https://admin%40vsphere.local:{SECRET}@vcsa.lab.example/sdk")
    assert result.stderr == ""
    assert result.stdout.splitlines()[:3] == [
        "The environment: good",
        "  1 vCenter",
        "    vcsa.lab.example: https://vcsa.lab.example as admin@vsphere.local, sessions live 5m",
    ]


@pytest.mark.usefixtures("config")
def test_govc_variables_that_are_wrong() -> None:
    assert errors(govc(GOVC_URL="ftp://x")) == [
        "environment: GOVC_URL: begins with ftp://; write https://HOST"
    ]
    assert errors(govc(GOVC_URL="u@vcsa.lab", GOVC_INSECURE="yes")) == [
        "environment: GOVC_PASSWORD: is not set; it is the password of u",
        "environment: GOVC_INSECURE: must be 1, true, 0 or false",
    ]
    assert errors(govc(GOVC_URL="vcsa.lab", GOVC_PASSWORD=SECRET)) == [
        "environment: GOVC_USERNAME: is not set, and GOVC_PASSWORD is"
    ]
    assert errors(
        govc(GOVC_URL=f"u:{SECRET}@vcsa.lab", GOVC_TLS_CA_CERTS="/nowhere/a:/nowhere/b")
    ) == [
        "environment: GOVC_TLS_CA_CERTS: /nowhere/a: there is no such file",
        "environment: GOVC_TLS_CA_CERTS: /nowhere/b: there is no such file",
    ]


@pytest.mark.usefixtures("config")
def test_a_sha1_thumbprint_of_govc(tmp_path: Path) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text(f"other.example {'AB:' * 19}AB\nvcsa.lab:443 {'CD:' * 19}CD\n")
    result = govc(GOVC_URL=f"u:{SECRET}@vcsa.lab", GOVC_TLS_KNOWN_HOSTS=str(hosts))
    (problem,) = errors(result)
    assert problem.startswith(
        f"{hosts}:2: vcsa.lab:443: is a SHA-1 fingerprint, which can be forged; take the SHA-256"
    )


@pytest.mark.usefixtures("config")
def test_govc_insecure_is_warned_of() -> None:
    result = govc(GOVC_URL=f"u:{SECRET}@vcsa.lab", GOVC_INSECURE="1")
    assert warnings(result) == [
        "environment: GOVC_INSECURE: whoever answers is trusted with the password; "
        "prefer `fingerprints`"
    ]
