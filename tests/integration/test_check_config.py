"""`check-config`, read as a person reads it: what it says of good and of bad configurations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keepalived.cli.check_config import check_config
from tests.support.check_config import LAB, SECRET, Check, errors, warnings

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
