"""YAML text as plain data, with the line that each value stands on.

YAML's own answer to a key that stands twice is to forget the first; here it is a problem. So are
errors of syntax, in words for people. What a document says is never quoted: it may be a secret
that stands in the wrong place.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from keepalived.settings import expansion
from keepalived.settings.problems import ConfigError, Path, Problem, Spot, dotted

_DEEPEST = 50
"""Nothing here nests deeper than five levels. Tens of thousands overflow libyaml's C stack."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    # Without libyaml, a third of the speed.
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """Loads plain data. What looks like a date stays the text that it is."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and the form are PyYAML's
        first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
        for first, entries in _SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `data` is None where the file is empty."""

    file: str
    data: object
    root: yaml.Node | None
    duplicates: tuple[tuple[Path, int, int], ...]
    """Keys that stand more than once: path, line, and the line of the first one."""

    def problem(self, path: Path, message: str) -> Problem:
        """Return a problem with what stands at `path`, or with what is missing there."""
        return self.spot(path).problem(message)

    def spot(self, path: Path) -> Spot:
        """Return where in the file stands what is at `path`."""
        return Spot(self.file, self.line_of(path), dotted(path))

    def line_of(self, path: Path) -> int | None:
        """Return the line of what stands at `path`, or of its nearest parent that exists."""
        node, line = self.root, None
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def duplicate_problems(self) -> tuple[Problem, ...]:
        """Return one problem for each key that stands more than once."""
        return tuple(
            Problem(self.file, line, dotted(path), f"stands twice; the first is on line {first}")
            for path, line, first in self.duplicates
        )


def parse(file: str, content: bytes) -> Document:
    """Return what a YAML file says; `file` is its name in messages. Raises ConfigError."""
    text = _decode(file, content)
    try:
        _refuse_depth(file, text)
        loader = _Loader(text)
        root = loader.get_single_node()
        duplicates = tuple(_duplicates(root))
        data = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(file, text, error)]) from None
    except expansion.TooLargeError as error:
        words = "the aliases ('*') stand for too many values; write them out"
        raise ConfigError([Problem(file, error.line, "", words)]) from None
    except (yaml.YAMLError, ValueError):
        # What they say may quote the value.
        words = "not valid YAML: a value that cannot be read"
        raise ConfigError([Problem(file, None, "", words)]) from None
    return Document(file, data, root, duplicates)


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Read a large file in half the time.

    It is made of millions of objects that all live, and that the collector would go through again
    and again as they become more.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _decode(file: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        words = "not UTF-8 text; save the file in the encoding UTF-8"
        raise ConfigError([Problem(file, line, "", words)]) from None
    control = _CONTROL_CHARACTER.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        words = f"the control character {control[0]!r} cannot stand in YAML"
        raise ConfigError([Problem(file, line, "", words)])
    return text


def _refuse_depth(file: str, text: str) -> None:
    depth = 0
    for event in expansion.checked(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else None
                words = f"nested more than {_DEEPEST} levels deep; no configuration is"
                raise ConfigError([Problem(file, line, "", words)])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _duplicates(root: yaml.Node | None) -> Iterator[tuple[Path, int, int]]:
    waiting: list[tuple[yaml.Node | None, Path]] = [(root, ())]
    seen: set[int] = set()
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, yaml.ScalarNode) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend((child, (*path, place)) for place, child in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, child in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    yield (*path, key.value), line, lines[key.value]
                lines.setdefault(key.value, line)
                waiting.append((child, (*path, key.value)))


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child.start_mark.line + 1, child
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    return None


_WORDS = (
    ("another document", "a second document begins here ('---'); put all into one"),
    ("undefined alias", "a value that begins with '*' must stand in quotes"),
    ("constructor for the tag", "a value that begins with '!' must stand in quotes"),
    ("mapping values are not allowed", "a ':' too many; put a value that has ': ' in it in quotes"),
    ("expected key", "a line that is no 'key: value'; check the indentation"),
    ("expected <block end>", "a line that is no 'key: value'; check the indentation"),
    ("could not find expected ':'", "a line that is no 'key: value'"),
    ("expected '-' indicator", "a line in a list that does not begin with '- '"),
    ("unhashable key", "a list or a mapping cannot be a key; put text with brackets in quotes"),
    ("unexpected end of stream", "a quote is opened and never closed"),
    ("expected ',' or '}'", "a '{' is opened, and neither ',' nor '}' follows where it must"),
    ("expected ',' or ']'", "a '[' is opened, and neither ',' nor ']' follows where it must"),
    ("expected node content", "a bracket is opened and never closed"),
)  # fmt: skip


def _syntax_problem(file: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file, None, "", f"not valid YAML: {error.problem}")
    said = error.problem or ""
    lines = text.splitlines()
    here = lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""
    if here == "\t" or " tab " in said:
        words = "a tab; YAML is indented by spaces only"
    elif "cannot start any token" in said and here:
        words = f"a value that begins with {here!r} must stand in quotes"
    else:
        words = next((words for part, words in _WORDS if part in said), said)
    # A quote or bracket that is never closed is found at the end; where it begins helps more.
    if "is opened" in words and error.context_mark is not None:
        mark = error.context_mark
    return Problem(file, mark.line + 1, "", f"not valid YAML: {words}")
