"""Parses YAML text into plain data, and finds the line of each value.

A syntax error is a problem of the whole file; an error in a single value or key is a flaw (see
`construct`). Messages never quote the document: a value may be a secret in the wrong place.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from keepalived.settings.construct import Constructor, Flaw, Loader
from keepalived.settings.problems import ConfigError, Path, Problem, dotted

_DEEPEST = 50
"""A configuration needs five levels. Tens of thousands overflow libyaml's C stack."""

_VALUES_MOST = 1_000_000
"""Values and keys of one file: enough for 100,000 sessions. Each takes about 500 bytes."""

_PIECE = 1 << 20
"""Bytes decoded at once, while no other thread can run."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `data` is None if the file is empty."""

    file: str
    data: object
    root: yaml.Node | None
    flaws: tuple[Flaw, ...] = ()
    """Errors in single values and keys. UNREADABLE replaces a value that could not be read."""

    def drop(self) -> None:
        """Free the parsed data in small steps: no other thread can run while a list is freed."""
        _drop((self.data, self.root))

    def problem(self, path: Path, message: str) -> Problem:
        """Return a problem with the value at `path`, or with its absence."""
        return Problem(self.file, self.line_of(path), dotted(path), message)

    def line_of(self, path: Path) -> int | None:
        """Return the line of the value at `path`, or of its nearest parent that exists."""
        node, line = self.root, None
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def flaw_problem(self, flaw: Flaw) -> Problem:
        """Return a flaw as a problem."""
        return Problem(self.file, flaw.line, dotted(flaw.path), flaw.message)


def parse(file: str, content: bytes) -> Document:
    """Parse the content of a YAML file; `file` is its name in messages. Raises ConfigError."""
    content = content.removeprefix(codecs.BOM_UTF8)
    constructor = Constructor()
    try:
        _check_text(file, content)
        _check_size(file, content)
        loader = Loader(_Pieces(content))
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
        data = None if root is None else constructor.build(root, ())
    except ConfigError:
        raise
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(file, content, error)]) from None
    except Exception as error:
        # No error in one file may stop the reading of others. Its text may contain a value.
        message = f"not valid YAML: parsing failed ({type(error).__name__})"
        raise ConfigError([Problem(file, None, "", message)]) from None
    return Document(file, data, root, tuple(constructor.flaws))


class _Pieces:
    """A file's content for libyaml, which reads it in pieces.

    Other threads can only run between two reads. If libyaml had the whole content, a few megabytes
    of blank lines would block the event loop for a tenth of a second.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`."""
        piece = self._content[self._at : self._at + size]
        self._at += len(piece)
        return piece


def _texts(content: bytes) -> Iterator[str]:
    """Decode a content in pieces, between which other threads can run.

    Raises UnicodeDecodeError, whose `start` counts from the start of the piece in `object`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(content), _PIECE):
        yield decoder.decode(content[at : at + _PIECE], final=at + _PIECE >= len(content))


def _check_text(file: str, content: bytes) -> None:
    lines = 0
    try:
        for text in _texts(content):
            control = _CONTROL_CHARACTER.search(text)
            if control:
                line = lines + text.count("\n", 0, control.start()) + 1
                message = f"the control character {control[0]!r} is not allowed in YAML"
                raise ConfigError([Problem(file, line, "", message)])
            lines += text.count("\n")
    except UnicodeDecodeError as error:
        line = lines + error.object.count(b"\n", 0, error.start) + 1
        message = "is not UTF-8 text; save the file as UTF-8"
        raise ConfigError([Problem(file, line, "", message)]) from None


def _character_at(content: bytes, index: int) -> str:
    """Return the character at an index, or an empty text beyond the end."""
    for text in _texts(content):
        if index < len(text):
            return text[index]
        index -= len(text)
    return ""


def _check_size(file: str, content: bytes) -> None:
    depth = count = 0
    for event in yaml.parse(_Pieces(content), Loader=Loader):
        if isinstance(event, yaml.NodeEvent):
            count += 1
            if count > _VALUES_MOST:
                message = (
                    f"has more than {_VALUES_MOST:,} values; split the sessions into several files"
                )
                raise ConfigError([Problem(file, None, "", message)])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else None
                message = f"is nested more than {_DEEPEST} levels deep; a configuration needs five"
                raise ConfigError([Problem(file, line, "", message)])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _drop(tree: object) -> None:
    """Empty all lists and mappings in a tree."""
    content = tree.value if isinstance(tree, yaml.CollectionNode) else tree
    if isinstance(content, dict):
        while content:
            _drop(content.popitem()[1])
    elif isinstance(content, list):
        while content:
            _drop(content.pop())
    elif isinstance(content, tuple):  # such as a key and its value
        for each in content:
            _drop(each)


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        child: yaml.Node = node.value[part]
        return child.start_mark.line + 1, child
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    return None


_SYNTAX_MESSAGES = (
    ("another document", "a second document begins here ('---'); put everything into one document"),
    ("undefined alias", "put a value that begins with '*' in quotes"),
    ("mapping values are not allowed", "one ':' too many; put a value with ': ' in quotes"),
    ("expected key", "this line is not 'key: value'; check the indentation"),
    ("expected <block end>", "this line is not 'key: value'; check the indentation"),
    ("could not find expected ':'", "this line is not 'key: value'"),
    ("expected '-' indicator", "a line in a list does not begin with '- '"),
    ("unexpected end of stream", "a quote is opened but never closed"),
    ("expected ',' or '}'", "a '{' is opened, but a ',' or '}' is missing"),
    ("expected ',' or ']'", "a '[' is opened, but a ',' or ']' is missing"),
    ("expected node content", "a bracket is opened but never closed"),
)  # fmt: skip


def _syntax_problem(file: str, content: bytes, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file, None, "", f"not valid YAML: {error.problem}")
    reason = error.problem or ""
    character = _character_at(content, mark.index).strip("\r\n\x85\u2028\u2029")
    if character == "\t" or " tab " in reason:
        message = "a tab is used; indent YAML with spaces only"
    elif "cannot start any token" in reason and character:
        message = f"put a value that begins with {character!r} in quotes"
    else:
        message = next((message for part, message in _SYNTAX_MESSAGES if part in reason), reason)
    # An unclosed quote or bracket is detected at the end; its beginning is more helpful.
    if "is opened" in message and error.context_mark is not None:
        mark = error.context_mark
    return Problem(file, mark.line + 1, "", f"not valid YAML: {message}")
