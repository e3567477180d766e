"""The sessions of a configuration: what is wrong with an entry, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.settings import LAB, PROD, check, errors


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
            "must be a whole number, not '50'; remove the quotes",
        ),
        ("{id: a, progress: [5]}", "progress", "must be a whole number, not a list"),
        ("{id: a, bytes_done: -1}", "bytes_done", "must be at least 0, not -1"),
        (
            "{id: a, bytes_done: 3, bytes_total: 2}",
            "bytes_total",
            "2 is less than bytes_done (3)",
        ),
        (
            "{id: a, progress: 1, bytes_done: 3}",
            "bytes_done",
            "progress is given as well; give either a percentage or bytes",
        ),
        (
            "{id: a, progress: 1, bytes_total: 3}",
            "bytes_total",
            "progress is given as well; give either a percentage or bytes",
        ),
        (
            "{id: a, progress: 0, path: x.iso}",
            "path",
            "progress is given as well; remove it, as the size of this file is the total",
        ),
        (
            "{id: a, bytes_total: 3, path: x.iso}",
            "path",
            "bytes_total is given as well; remove it, as the size of this file is the total",
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
        ("{id: a, max_lifetime: 0}", "max_lifetime", "must be longer than 0s"),
        (
            "{id: a, max_lifetime: long}",
            "max_lifetime",
            "'long' is not a duration; write for example 90s, 5m, 1h30m, 7d, or plain seconds",
        ),
        ("{id: a, note: 5}", "note", "must be text, not a number; put it in quotes"),
        ("{id: a, progres: 5}", "progres", "this key is not known; did you mean 'progress'?"),
        ("{id: a, id: b}", "id", "is a duplicate; the first is on line 7"),
        ("{id: 815994}", "id", "must be text, not a number; put it in quotes"),
        ("{progress: 5}", "id", "is missing"),
        ("{id: ''}", "id", "a session id must not be empty"),
        ("{id: a, vcenter: lob}", "vcenter", "there is no vCenter 'lob'; did you mean 'lab'?"),
        ("{id: a, vcenter: xyz}", "vcenter", "there is no vCenter 'xyz'; configured: lab"),
    ],
)
def test_bad_sessions(tmp_path: Path, entry: str, key: str, said: str) -> None:
    assert errors(check(tmp_path, LAB + f"sessions:\n  - {entry}\n")) == [
        f"config.yaml:7: sessions[0].{key}: {said}"
    ]


def test_a_session_that_is_an_id_alone(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "sessions: [a]\n")) == [
        "config.yaml:6: sessions[0]: must be a mapping, `key: value`, not text"
    ]


@pytest.mark.parametrize("name", ["a/b", "../../session", ".", "..", "a b", "a%2Fb", "a?b", "é"])
def test_ids_that_could_lead_elsewhere(tmp_path: Path, name: str) -> None:
    assert errors(check(tmp_path, LAB + f"sessions: [{{id: {name!r}}}]\n")) == [
        f"config.yaml:6: sessions[0].id: {name!r} is not a session id: ids consist of letters, "
        "digits and . _ : - and are neither '.' nor '..'"
    ]


def test_ids_with_control_characters_are_shown_without_their_effect(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + 'sessions: [{id: "a\\e[2J\\n"}]\n')) == [
        r"config.yaml:6: sessions[0].id: 'a\x1b[2J\n' is not a session id: ids consist of letters, "
        "digits and . _ : - and are neither '.' nor '..'"
    ]


def test_keys_with_control_characters_are_shown_without_their_effect(tmp_path: Path) -> None:
    (problem,) = errors(check(tmp_path, LAB + '"a\\e[2J\\nb": 1\n'))
    assert problem.startswith(r"config.yaml:6: a\x1b[2J\nb: this key is not known")


def test_the_same_session_twice(tmp_path: Path) -> None:
    sessions = """\
sessions:
  - {id: a}
  - {id: b}
  - {id: a, kind: download}
  - {id: a, vcenter: lab, progress: 5}
"""
    assert errors(check(tmp_path, LAB + sessions)) == [
        "config.yaml:10: sessions[3]: is the same session as on line 7"
    ]


def test_two_vcenters_and_a_session_that_names_none(tmp_path: Path) -> None:
    assert errors(
        check(tmp_path, LAB + PROD + "sessions: [{id: a}, {id: a, vcenter: prod}]\n")
    ) == [
        "config.yaml:10: sessions[0].vcenter: is missing; name the vCenter of the session: lab, "
        "prod"
    ]
