"""YAML text as plain data, with the line that each value stands on.

Errors of syntax are problems of the whole file, in words for people; what is wrong with a single
value or key is a flaw of what stands there (see `construct`). What a document says is never quoted:
it may be a secret that stands in the wrong place.
"""

from __future__ import annotations

import codecs
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from keepalived.settings.construct import Constructor, Flaw, Loader
from keepalived.settings.problems import ConfigError, Path, Problem, dotted

_DEEPEST = 50
"""Nothing here nests deeper than five levels. Tens of thousands overflow libyaml's C stack."""

_VALUES_MOST = 1_000_000
"""Values and keys of one file: enough for 100,000 sessions. Each takes some 500 bytes of memory."""

_PIECE = 1 << 20
"""Bytes that are decoded at once, without letting other threads run."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `data` is None where the file is empty."""

    file: str
    data: object
    root: yaml.Node | None
    flaws: tuple[Flaw, ...] = ()
    """What is wrong with single values and keys; UNREADABLE stands where there is no value."""

    def drop(self) -> None:
        """Free what was parsed, a little at a time: no other thread runs while a list is freed."""
        _drop((self.data, self.root))

    def problem(self, path: Path, message: str) -> Problem:
        """Return a problem with what stands at `path`, or with what is missing there."""
        return Problem(self.file, self.line_of(path), dotted(path), message)

    def line_of(self, path: Path) -> int | None:
        """Return the line of what stands at `path`, or of its nearest parent that exists."""
        node, line = self.root, None
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def flaw_problem(self, flaw: Flaw) -> Problem:
        """Return a flaw as the problem that it is."""
        return Problem(self.file, flaw.line, dotted(flaw.path), flaw.message)


def parse(file: str, content: bytes) -> Document:
    """Return what a YAML file says; `file` is its name in messages. Raises ConfigError."""
    content = content.removeprefix(codecs.BOM_UTF8)
    constructor = Constructor()
    try:
        _refuse_other_than_text(file, content)
        _refuse_too_much(file, content)
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
        # Whatever it is: one file must not end the reading of others. It may quote the value.
        words = f"not valid YAML: it cannot be read ({type(error).__name__})"
        raise ConfigError([Problem(file, None, "", words)]) from None
    return Document(file, data, root, tuple(constructor.flaws))


class _Pieces:
    """A file's content for libyaml, which asks for it in pieces.

    Between two questions it lets no other thread run. Of a content that it has as a whole it would
    ask nothing: some megabytes of blank lines would stop the event loop for a tenth of a second.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return what follows, at most so many bytes."""
        piece = self._content[self._at : self._at + size]
        self._at += len(piece)
        return piece


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


def _texts(content: bytes) -> Iterator[str]:
    """Decode a content in pieces, between which other threads may run. Raises UnicodeDecodeError,
    whose `start` is counted from the piece that `object` holds."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(content), _PIECE):
        yield decoder.decode(content[at : at + _PIECE], final=at + _PIECE >= len(content))


def _refuse_other_than_text(file: str, content: bytes) -> None:
    lines = 0
    try:
        for text in _texts(content):
            control = _CONTROL_CHARACTER.search(text)
            if control:
                line = lines + text.count("\n", 0, control.start()) + 1
                words = f"the control character {control[0]!r} cannot stand in YAML"
                raise ConfigError([Problem(file, line, "", words)])
            lines += text.count("\n")
    except UnicodeDecodeError as error:
        line = lines + error.object.count(b"\n", 0, error.start) + 1
        words = "not UTF-8 text; save the file in the encoding UTF-8"
        raise ConfigError([Problem(file, line, "", words)]) from None


def _character_at(content: bytes, index: int) -> str:
    """Return the character at a place that is counted in characters; nothing beyond the end."""
    for text in _texts(content):
        if index < len(text):
            return text[index]
        index -= len(text)
    return ""


def _refuse_too_much(file: str, content: bytes) -> None:
    depth = count = 0
    for event in yaml.parse(_Pieces(content), Loader=Loader):
        if isinstance(event, yaml.NodeEvent):
            count += 1
            if count > _VALUES_MOST:
                words = f"more than {_VALUES_MOST:,} values; put the sessions into several files"
                raise ConfigError([Problem(file, None, "", words)])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else None
                words = f"nested more than {_DEEPEST} levels deep; no configuration is"
                raise ConfigError([Problem(file, line, "", words)])
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


_WORDS = (
    ("another document", "a second document begins here ('---'); put all into one"),
    ("undefined alias", "a value that begins with '*' must stand in quotes"),
    ("mapping values are not allowed", "a ':' too many; put a value that has ': ' in it in quotes"),
    ("expected key", "a line that is no 'key: value'; check the indentation"),
    ("expected <block end>", "a line that is no 'key: value'; check the indentation"),
    ("could not find expected ':'", "a line that is no 'key: value'"),
    ("expected '-' indicator", "a line in a list that does not begin with '- '"),
    ("unexpected end of stream", "a quote is opened and never closed"),
    ("expected ',' or '}'", "a '{' is opened, and neither ',' nor '}' follows where it must"),
    ("expected ',' or ']'", "a '[' is opened, and neither ',' nor ']' follows where it must"),
    ("expected node content", "a bracket is opened and never closed"),
)  # fmt: skip


def _syntax_problem(file: str, content: bytes, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file, None, "", f"not valid YAML: {error.problem}")
    said = error.problem or ""
    here = _character_at(content, mark.index).strip("\r\n\x85\u2028\u2029")
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
