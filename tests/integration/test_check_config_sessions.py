"""`check-config` on sessions, in the configuration and in files of their own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import Result

from tests.support.check_config import LAB, PROD, SECRET, Check, errors, warnings

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


@pytest.mark.extended
@pytest.mark.timeout(120)
def test_a_hundred_thousand_sessions(check: Check) -> None:
    def seconds_for(entries: str) -> tuple[float, Result]:
        started = time.process_time()
        result = check(LAB + "sessions:\n" + entries)
        assert result.exit_code == 0
        return time.process_time() - started, result

    entry = "  - {{id: 'session-{}', progress: 7}}\n".format
    entries = "".join(map(entry, range(100_000)))
    some, _ = seconds_for("".join(map(entry, range(10_000))))
    all_, result = seconds_for(entries)
    assert all_ < 2 * 10 * some  # ten times as many take about ten times as long
    assert "  100,000 sessions in the configuration" in result.stdout
    result = check(LAB + "sessions:\n" + entries + "  - {id: session-0}\n")
    assert errors(result) == ["config.yaml:100007: sessions[100000]: the same session as on line 7"]


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
        "file; the vCenter's own credentials are used meanwhile",
    ]
