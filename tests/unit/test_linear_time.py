"""No text from outside takes more than linear time: regular expressions, and loops over text.

Growth is measured, not speed: a text eight times as long may take about eight times as long;
quadratic code would take sixty-four times.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import keepalived
from keepalived.observe.redact import LONGEST_TEXT, LONGEST_TRACEBACK, redact
from keepalived.settings.document import parse
from keepalived.settings.durations import parse_duration
from keepalived.settings.problems import ConfigError
from keepalived.settings.sessions import parse_sessions
from keepalived.vcenter.parsing import retry_after

SMALL, FACTOR = 1024, 8
_NEGLIGIBLE_SECONDS = 0.004
_MARGIN = 3
_SIGNS = ("a", "1", " ", ".", ":", "/", "=", '"')
_WORDS = (
    "://",
    "a://",
    "a:",
    "1.1",
    "1d",
    "1/",
    "password=",
    "token = ",
    'secret="',
    "cookie='",
    "authorization:",
    "authorization: bearer ",
    "%3A",
    "id:",
    "é",
    "٣",
)


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(keepalived.__path__, "keepalived."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def patterns() -> dict[str, re.Pattern[Any]]:
    """Return every expression of the package, by what it says."""
    found: dict[str, re.Pattern[Any]] = {}

    def look(value: object, depth: int = 0) -> None:
        if isinstance(value, re.Pattern):
            found[str(value.pattern)] = value
        elif isinstance(value, dict) and depth < 4:
            look(list(value.values()), depth + 1)
        elif isinstance(value, list | tuple | set | frozenset) and depth < 4:
            for each in value:
                look(each, depth + 1)

    for module in modules():
        for name, value in vars(module).items():
            if not name.startswith("__"):
                look(value)
    return found


PATTERNS = patterns()


def hostile(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], Any]]:
    """Yield what makes texts of a length that begin to match again and again, and never do."""
    own = set(re.findall(r"[\w/.:-]+", str(pattern.pattern)))
    pieces = {
        *_SIGNS,
        "@",
        "'",
        "-",
        "\n",
        *_WORDS,
        *own,
        *(f"{one}{two}" for one, two in product(_SIGNS, _SIGNS)),
    }
    prefixes = {"", *(each for each in own if len(each) > 3), 'token="', "cookie", "a://"}

    for piece, prefix in [*product(pieces, ("",)), *product((" ", "a", "1", "a."), prefixes)]:
        # Each piece in turn, and an end at which whole matches fail.
        def text(length: int, piece: str = piece, prefix: str = prefix) -> Any:
            made = prefix + piece * (length // len(piece)) + "\0"
            return made if isinstance(pattern.pattern, str) else made.encode()

        yield text


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
        if best < _NEGLIGIBLE_SECONDS:
            break
    return best


def assert_linear(work: Callable[[int], Callable[[], object]], what: str) -> None:
    large = seconds(work(SMALL * FACTOR))
    if large >= _NEGLIGIBLE_SECONDS:
        small = seconds(work(SMALL))
        assert large <= _MARGIN * FACTOR * small + _NEGLIGIBLE_SECONDS, (what, small, large)


@pytest.mark.parametrize("source", sorted(PATTERNS))
def test_an_expression_takes_linear_time(source: str) -> None:
    pattern = PATTERNS[source]
    for text in hostile(pattern):
        for use in (pattern.match, pattern.fullmatch, pattern.findall):

            def work(
                length: int, use: Callable[[Any], object] = use, text: Callable[[int], Any] = text
            ) -> Callable[[], object]:
                made = text(length)
                return lambda: use(made)

            assert_linear(work, f"{use.__name__} {text(24)!r}")


def test_all_expressions_are_constants_that_can_be_found_here() -> None:
    assert len(PATTERNS) > 20
    for path in sorted(Path(keepalived.__path__[0]).rglob("*.py")):
        tree = ast.parse(path.read_text())
        for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
            match call.func:
                case ast.Attribute(value=ast.Name(id="re"), attr=name):
                    assert name in ("compile", "escape"), f"{path}:{call.lineno}"


@pytest.mark.parametrize(
    "piece", ["x", "x.", "://", "a://b", "password=", 'token="', "authorization: ", " ", "\n", "é"]
)
def test_a_log_line_takes_linear_time(piece: str) -> None:
    def work(length: int) -> Callable[[], object]:
        made = piece * (length // len(piece))
        event = {"event": made, "exception": f"{made}\n" * 4, "detail": [made]}
        return lambda: redact(None, "error", event)

    assert_linear(work, piece)


def test_what_a_log_line_keeps_of_a_text_is_bounded() -> None:
    lines = "\n".join(f"line {number}" for number in range(100_000))
    event = redact(None, "error", {"event": "x" * 1_000_000, "exception": lines})

    assert len(event["event"]) < LONGEST_TEXT + 50
    assert event["event"].endswith(f"({1_000_000 - LONGEST_TEXT} more characters)")
    assert len(event["exception"]) < 2 * LONGEST_TRACEBACK
    assert event["exception"].startswith("line 0\n")
    assert event["exception"].endswith("\nline 99999")


@pytest.mark.parametrize(
    "text",
    [
        f"{'x' * (LONGEST_TEXT - 16)} https://u:hunter2{'x' * 100}@vc.example/",
        f"{'x' * (LONGEST_TEXT - 20)} password='hunter2 hunter2{'x' * 100}'",
        f"{'x' * (LONGEST_TEXT - 20)} token=hunter2{'x' * 100}",
    ],
)
def test_a_cut_does_not_uncover_a_secret(text: str) -> None:
    for key in ("event", "exception"):
        assert "hunter2"[:4] not in redact(None, "error", {key: text})[key]


@pytest.mark.parametrize("piece", ["1", "1.", "1d", "1.1d", "\u0663", " ", "1s1", "m"])
def test_a_duration_takes_linear_time(piece: str) -> None:
    def work(length: int) -> Callable[[], object]:
        return lambda: _refused(parse_duration, piece * (length // len(piece)) + "x")

    assert_linear(work, piece)


@pytest.mark.parametrize("piece", ["1 ", "1:", "a,", "-", "+1", "Mon, 1 Jan 2000 1:"])
def test_a_date_takes_linear_time(piece: str) -> None:
    def work(length: int) -> Callable[[], object]:
        return lambda: retry_after({"retry-after": piece * length, "date": piece * length})

    assert_linear(work, piece)


SESSION_FILES: dict[str, Callable[[int], bytes]] = {
    "unknown keys": lambda n: b"- {id: a, " + b", ".join(b"k%d: 1" % i for i in range(n)) + b"}",
    "unknown keys of the file": lambda n: (
        b"- {id: a}\n" + b"".join(b"k%d: 1\n" % i for i in range(n))
    ),
    "one key again": lambda n: b"- {id: a, " + b", ".join([b"k: 1"] * n) + b"}",
    "aliases": lambda n: b"- &a {id: a, " + b", k: 1" * n + b"}\n" + b"- *a\n" * n,
    "merges": lambda n: (
        b"- &a0 {id: a}\n"
        + b"".join(b"- &a%d {<<: [*a%d, *a%d]}\n" % (i, i - 1, i - 1) for i in range(1, n // 40))
    ),
    "one session again": lambda n: b"- {id: a}\n" * n,
    "bad ids": lambda n: b"- {id: 'a b'}\n" * n,
    "nested": lambda n: b"- [" * n,
    "anchors": lambda n: b"- &a a\n" * n,
    "a long number": lambda n: b"- {id: a, progress: " + b"1" * n + b"}",
    "a long text": lambda n: b"- {id: a, note: '" + b"x" * n + b"'}",
    "a long duration": lambda n: b"- {id: a, max_lifetime: " + b"1" * n + b"x}",
    "comments": lambda n: b"# x\n" * n,
}


@pytest.mark.parametrize("name", sorted(SESSION_FILES))
def test_a_session_file_takes_linear_time(name: str) -> None:
    def work(length: int) -> Callable[[], object]:
        content = b"sessions:\n" + SESSION_FILES[name](length)
        return lambda: _refused(parse_sessions, "f.yaml", content, ["lab"])

    assert_linear(work, name)


@pytest.mark.parametrize(
    "content",
    [
        "a: &a [*a, *a]\n" + "b: *a\n" * 10,
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
        "a0: &a0 {k: 1}\n"
        + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)),
    ],
)
def test_aliases_that_stand_for_too_much_are_refused(content: str) -> None:
    flaws = parse("f.yaml", content.encode()).flaws
    assert any("alias" in flaw.message for flaw in flaws)


def test_aliases_and_merges_that_people_write_are_read() -> None:
    text = "base: &base {dialect: api}\n" + "".join(
        f"v{number}: {{<<: *base, url: x}}\n" for number in range(1000)
    )
    data = parse("f.yaml", text.encode()).data
    assert isinstance(data, dict)
    assert data["v999"] == {"dialect": "api", "url": "x"}


def _refused(function: Callable[..., object], *arguments: object) -> None:
    with suppress(ConfigError, ValueError):
        function(*arguments)
