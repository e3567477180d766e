"""`check-config`, read as a person reads it: exit codes, what it says, and where.

What is wrong with which value is tested in tests/unit/test_settings_*.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from keepalived.cli.check_config import check_config
from tests.support.check_config import Check, errors, warnings
from tests.support.settings import LAB, SECRET


def test_a_good_configuration_is_summed_up_in_words(check: Check, tmp_path: Path) -> None:
    Path(tmp_path, "night.yaml").write_text("sessions: [{id: c}, {id: d}]")
    result = check(LAB + "sessions: [{id: a}]\nsession_files: night.yaml\n")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "config.yaml: valid",
        "  1 vCenter",
        "    lab: https://vcsa.lab.example as uploader@vsphere.local, session timeout 5m",
        "  1 session in the configuration",
        "  2 sessions in 1 session file",
        "  metrics and health on 127.0.0.1:9878",
    ]


def test_the_environment_names_the_configuration(config: Path) -> None:
    config.write_text(LAB)
    env = {"CLKEEPALIVED_CONFIG": str(config), "LAB_PASSWORD": SECRET}
    result = CliRunner().invoke(check_config, [], env=env)
    assert result.exit_code == 0
    assert "config.yaml: valid" in result.stdout


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


def test_a_configuration_that_comes_through_a_pipe(config: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keepalived.cli", "check-config", "/dev/stdin"],
        env={**os.environ, "LAB_PASSWORD": SECRET},
        cwd=config.absolute().parent,
        input=LAB,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "lab: https://vcsa.lab.example as uploader@vsphere.local" in done.stdout


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
        "nowhere.yaml: there is no such file; create it, name another one with --config, "
        "or set GOVC_URL"
    )


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
        "config.yaml:13: http.listen: must be text, not a number; put it in quotes",
        "config.yaml:14: log: must be a mapping, `key: value`, not a list",
        "config.yaml:15: metrics.max_sessions: must be a whole number, not '10'; remove the quotes",
        "config.yaml:16: sessions: must be a list, with one '- ' for each session, not a mapping",
    ]


def test_a_password_in_the_url_is_refused(check: Check) -> None:
    url = f"https://u:{SECRET}@vcsa.lab.example/sdk"
    assert errors(check(LAB.replace("https://vcsa.lab.example/sdk", url))) == [
        "config.yaml:3: vcenters.lab.url: contains a password; remove `user:password@`, and "
        "give `username` and one of password_file, password_env or credential"
    ]


def test_what_is_risky_is_warned_of(check: Check) -> None:
    content = LAB.replace("https://", "http://") + "    insecure: true\n    request_timeout: 60s\n"
    assert warnings(check(content)) == [
        "config.yaml:3: vcenters.lab.url: http:// sends the password and the token in clear; "
        "use https://",
        "config.yaml:6: vcenters.lab.insecure: any server that answers gets the password; "
        "use `fingerprints` instead",
        "config.yaml:7: vcenters.lab.request_timeout: 1m leaves time for only 2 attempts "
        "before a session expires after 5m; use `auto`",
    ]


def test_keys_with_control_characters_are_shown_without_their_effect(check: Check) -> None:
    (problem,) = errors(check(LAB + '"a\\e[2J\\nb": 1\n'))
    assert problem.startswith(r"config.yaml:6: a\x1b[2J\nb: this key is not known")


@pytest.mark.usefixtures("config")
def test_govc_variables_are_enough() -> None:
    env = {"GOVC_URL": f"https://admin%40vsphere.local:{SECRET}@vcsa.lab.example/sdk"}
    result = CliRunner().invoke(check_config, [], env=env)
    assert SECRET not in result.output
    assert result.stderr == ""
    assert result.stdout.splitlines()[:3] == [
        "The environment: valid",
        "  1 vCenter",
        "    vcsa.lab.example: https://vcsa.lab.example as admin@vsphere.local, session timeout 5m",
    ]


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
        "b.yaml:2: not valid YAML: a bracket is opened but never closed",
        "c.yaml: the file is empty; write `sessions: []` if there are no sessions",
        "d.yaml: contains a list; begin it with `sessions:`, and list the sessions below it, each "
        "with '- '",
        "e.yaml:1: vcenters: is not a known key; a session file contains only `sessions:`",
        "f.yaml: `sessions:` is missing; write `sessions: []` if there are no sessions",
        "g.yaml:2: sessions: is a duplicate; the first is on line 1",
    ]
    assert "  2 sessions in 7 session files" in result.stdout


def test_token_files_that_session_files_name_are_looked_at(check: Check, tmp_path: Path) -> None:
    (tmp_path / "open.token").write_text(SECRET, encoding="utf-8")
    (tmp_path / "open.token").chmod(0o644)
    (tmp_path / "a.yaml").write_text(
        "sessions:\n  - {id: a, token_file: open.token}\n  - {id: b, token_file: none.token}\n",
        encoding="utf-8",
    )
    assert warnings(check(LAB + "session_files: a.yaml\n")) == [
        f"{tmp_path}/a.yaml:2: sessions[0].token_file: {tmp_path}/open.token can be read by every "
        "user; chmod 600 (or 640) it",
        f"{tmp_path}/a.yaml:3: sessions[1].token_file: {tmp_path}/none.token: there is no such "
        "file; until then the vCenter's own credentials are used",
    ]


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.extended)])
def test_many_sessions_and_one_of_them_twice(check: Check, count: int) -> None:
    entries = "".join(f"  - {{id: 'session-{each}', progress: 7}}\n" for each in range(count))
    result = check(LAB + "sessions:\n" + entries)
    assert result.exit_code == 0
    assert f"  {count:,} sessions in the configuration" in result.stdout
    result = check(LAB + "sessions:\n" + entries + "  - {id: session-0}\n")
    assert errors(result) == [
        f"config.yaml:{count + 7}: sessions[{count}]: is the same session as on line 7"
    ]
