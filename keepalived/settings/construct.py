"""Builds plain data from the nodes of a YAML document, and sets unreadable values aside.

A bad value does not affect the others: it becomes UNREADABLE, and a flaw says where it is and what
to do. YAML 1.1's implicit types that people write by accident are disabled: 010, 1:30, yes and off
are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from keepalived.settings.problems import Path

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_LONGEST_NUMBER = 40
"""In characters. Python refuses to print much longer numbers."""

_MOST_REPEATED = 1_000_000
"""The most nodes that all aliases may expand to: a few lines can expand to billions."""

_NO_TAGS = "put a value that begins with '!' in quotes; YAML tags are not supported here"

_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"\A[-+]?(?:0|[1-9][0-9_]*|0b[01_]*[01]|0x[0-9a-fA-F_]*[0-9a-fA-F])")
_FLOAT = re.compile(
    r"\A(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))"
)
_NULL = re.compile(r"~|null|Null|NULL|")

if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    # Without libyaml, parsing takes three times as long.
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_SafeLoader):
    """Parses and composes YAML, with the implicit types of this module."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's


def _resolve(name: str, pattern: re.Pattern[str], first: str) -> None:
    whole = re.compile(f"(?:{pattern.pattern})$")
    for sign in [*first, ""] if pattern is _NULL else first:
        Loader.yaml_implicit_resolvers.setdefault(sign, []).append((f"{_TAG}{name}", whole))


_resolve("bool", _BOOL, "tTfF")
_resolve("float", _FLOAT, "-+0123456789.")
_resolve("int", _INT, "-+0123456789")
_resolve("merge", re.compile("<<"), "<")
_resolve("null", _NULL, "~nN")


class UnreadableValue:
    """Replaces a value that could not be read."""

    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE = UnreadableValue()


class Flaw(NamedTuple):
    """An error in a document itself, and its place."""

    path: Path
    line: int
    message: str


class _BadValueError(Exception):
    """A value cannot be read. The message says what to do, and does not contain the value."""


class Constructor:
    """Builds plain data from nodes of bounded depth, and collects errors in `flaws`."""

    def __init__(self) -> None:
        self.flaws: list[Flaw] = []
        self._built: dict[yaml.Node, tuple[object, int]] = {}  # and how many nodes it stands for
        self._open: set[yaml.Node] = set()
        self._total = 0
        self._repeated = 0

    def build(self, node: yaml.Node, path: Path) -> object:
        """Return the data of a node, or UNREADABLE."""
        self._total += 1
        try:
            if not isinstance(node, yaml.ScalarNode):
                return self._collection(node, path)
            read = _READERS.get(node.tag)
            if read is None:
                raise _BadValueError(_NO_TAGS)
            return read(node.value)
        except _BadValueError as error:
            return self._flawed(node, path, str(error))

    def _flawed(self, node: yaml.Node, path: Path, message: str) -> UnreadableValue:
        self.flaws.append(Flaw(path, node.start_mark.line + 1, message))
        return UNREADABLE

    def _collection(self, node: yaml.Node, path: Path) -> object:
        """Return the data of a list or a mapping; all aliases of it share one object."""
        if node in self._open:
            raise _BadValueError("an alias ('*') is inside the value that it refers to")
        if node in self._built:
            data, size = self._built[node]
            self._repeated += size
            if self._repeated > _MOST_REPEATED:
                raise _BadValueError(
                    "the aliases ('*') expand to too many values; write the values out"
                )
            self._total += size
            return data
        before = self._total
        self._open.add(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            data = [self.build(child, (*path, place)) for place, child in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            data = self._map(node, path)
        else:
            data = self._flawed(node, path, _NO_TAGS)
        self._open.remove(node)
        self._built[node] = (data, self._total - before)
        return data

    def _map(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        """Return a mapping. Its keys are text, exactly as in the document."""
        merged: dict[str, object] = {}
        data: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                message = (
                    "a list or a mapping cannot be a key; put text that contains brackets in quotes"
                )
                self._flawed(key, path, message)
                continue
            name, line = key.value, key.start_mark.line + 1
            place = (*path, name)
            if name in lines:
                first = lines[name]
                self.flaws.append(
                    Flaw(place, line, f"is a duplicate; the first is on line {first}")
                )
            lines.setdefault(name, line)
            value = self.build(child, place)
            if key.tag != _MERGE:
                data[name] = value
            elif not all(isinstance(each, dict) for each in _listed(value)):
                self._flawed(child, place, "must be a mapping or a list of mappings")
            else:
                for each in _listed(value):
                    merged = {**each, **merged}
        return {**merged, **data} if merged else data


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _BadValueError(
            "contains half a character (a lone surrogate), which is not text"
        ) from None
    return text


def _bool(text: str) -> bool:
    if not _BOOL.fullmatch(text):
        raise _BadValueError("is tagged !!bool, but is neither true nor false")
    return text.lower() == "true"


def _int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise _BadValueError("is tagged !!int, but is not a whole number")
    if len(text) > _LONGEST_NUMBER:
        raise _BadValueError(
            f"is a number of {len(text)} digits, which is too long; put text in quotes"
        )
    digits = text.replace("_", "").lower()
    return int(digits, 0)


def _float(text: str) -> float:
    if not (_FLOAT.fullmatch(text) or _INT.fullmatch(text)):
        raise _BadValueError("is tagged !!float, but is not a number")
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def _null(text: str) -> None:
    if not _NULL.fullmatch(text):
        raise _BadValueError("is tagged !!null, but is not empty")


_READERS: dict[str, Callable[[str], object]] = {
    f"{_TAG}str": _text,
    f"{_TAG}bool": _bool,
    f"{_TAG}int": _int,
    f"{_TAG}float": _float,
    f"{_TAG}null": _null,
    _MERGE: _text,
}
