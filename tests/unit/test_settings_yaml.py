"""What is not YAML, or not quite: each error in words, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived.settings import ConfigError, document
from keepalived.settings.document import parse
from tests.support.settings import LAB, check, errors, warnings


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("vcenters:\n\tlab:\n", 2, "a tab is used; indent YAML with spaces only"),
        ("vcenters:\n  lab:\n  \turl: x\n", 3, "a tab is used; indent YAML with spaces only"),
        ("a: 'b\n\n", 1, "a quote is opened but never closed"),
        ("a: {b: c\n\n", 1, "a '{' is opened, but a ',' or '}' is missing"),
        ("a: [b\nc: d\n", 1, "a '[' is opened, but a ',' or ']' is missing"),
        ("a: @b\n", 1, "put a value that begins with '@' in quotes"),
        ("a: *hunter2\n", 1, "put a value that begins with '*' in quotes"),
        ("a: b: c\n", 1, "one ':' too many; put a value with ': ' in quotes"),
        ("a:\n  b: c\n d: e\n", 3, "this line is not 'key: value'; check the indentation"),
        ("a: 1\n- b\n", 2, "this line is not 'key: value'; check the indentation"),
        ("- a\nb: c\n", 2, "a line in a list does not begin with '- '"),
        (
            "a: b\n---\nc: d\n",
            2,
            "a second document begins here ('---'); put everything into one document",
        ),
    ],
)
def test_yaml_that_is_none(tmp_path: Path, content: str, line: int, said: str) -> None:
    assert errors(check(tmp_path, content)) == [f"config.yaml:{line}: not valid YAML: {said}"]


def test_a_control_character(tmp_path: Path) -> None:
    assert errors(check(tmp_path, "a: \x07\n")) == [
        "config.yaml:1: the control character '\\x07' is not allowed in YAML"
    ]


LONG = "# ä\n" * 300_000
"""More than is decoded at once, and a piece of it ends within a character."""


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (b"a: \x07\n", "the control character '\\x07' is not allowed in YAML"),
        (b"a: \xff\n", "is not UTF-8 text; save the file as UTF-8"),
        (b"a: \xc3", "is not UTF-8 text; save the file as UTF-8"),
        (b"a: @b\n", "not valid YAML: put a value that begins with '@' in quotes"),
        (b"\ta: b\n", "not valid YAML: a tab is used; indent YAML with spaces only"),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_long_files_are_read_in_pieces_and_their_lines_are_counted(
    mark: bytes, ending: bytes, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a.yaml", mark + LONG.encode() + ending)
    assert [str(each) for each in caught.value.problems] == [f"a.yaml:300001: {said}"]


def test_the_parser_is_given_a_file_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever it has at once, it parses without letting the event loop run.
    sizes: list[int] = []

    class Pieces(document._Pieces):
        def read(self, size: int = -1, /) -> bytes:
            piece = super().read(size)
            sizes.append(len(piece))
            return piece

    monkeypatch.setattr(document, "_Pieces", Pieces)
    content = LONG.encode() + b"a: b\n"
    assert parse("a.yaml", content).data == {"a": "b"}
    assert max(sizes) <= 64 * 1024
    assert sum(sizes) == 2 * len(content)


@pytest.mark.parametrize("opening", ["[", "- ", "{a: "])
def test_what_is_nested_too_deep_for_the_parser(tmp_path: Path, opening: str) -> None:
    assert errors(check(tmp_path, opening * 100_000)) == [
        "config.yaml:1: is nested more than 50 levels deep; a configuration needs five"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "a: " + "1" * 5000,
            "a: is a number of 5000 digits, which is too long; put text in quotes",
        ),
        (
            "a: !hunter2\n",
            "a: put a value that begins with '!' in quotes; YAML tags are not supported here",
        ),
        (
            "[a]: b\n",
            "a list or a mapping cannot be a key; put text that contains brackets in quotes",
        ),
    ],
)
def test_values_and_keys_that_cannot_be_read(tmp_path: Path, content: str, said: str) -> None:
    assert f"config.yaml:1: {said}" in errors(check(tmp_path, content))


def test_every_key_that_stands_twice(tmp_path: Path) -> None:
    assert errors(check(tmp_path, LAB + "    username: x\nhttp: {}\nhttp: {}\n")) == [
        "config.yaml:6: vcenters.lab.username: is a duplicate; the first is on line 4",
        "config.yaml:8: http: is a duplicate; the first is on line 7",
    ]


def test_anchors_and_merged_keys_are_no_duplicates(tmp_path: Path) -> None:
    result = check(
        tmp_path,
        """\
vcenters:
  lab: &usual {url: "https://lab", username: u, password_env: LAB_PASSWORD, session_timeout: 9m}
  prod: {<<: *usual, url: "https://prod", session_timeout: 5m}
""",
    )
    assert warnings(result) == []
    assert result.settings is not None
    prod = result.settings.vcenters["prod"]
    assert (prod.url, prod.username, prod.session_timeout) == ("https://prod", "u", 300.0)


def test_a_document_that_contains_itself_ends(tmp_path: Path) -> None:
    assert errors(check(tmp_path, "vcenters: &all {lab: *all}")) == [
        "config.yaml:1: vcenters.lab: an alias ('*') is inside the value that it refers to"
    ]


def test_dates_stay_text(tmp_path: Path) -> None:
    result = check(tmp_path, LAB + "sessions: [{id: a, note: 2026-13-45}]")
    assert result.settings is not None
    assert result.settings.sessions[0].note == "2026-13-45"
