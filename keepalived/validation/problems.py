"""Problems found by validation, and their messages, which contain no possible secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SHOWN = 60

Path = tuple[str | int, ...]
"""The place of a value: keys of mappings and indexes of lists."""


class Contradiction(ValueError):
    """A value is well-formed, but cannot be intended."""


class FieldProblem(NamedTuple):
    """One problem: its message, its place, and the value."""

    path: Path
    message: str
    value: object
    is_contradiction: bool = False

    def __repr__(self) -> str:
        """Omit the value: it may be a secret."""
        return f"FieldProblem({self.path!r}, {self.message!r})"


class Invalid(ValueError):
    """A value is invalid. `problems` contains all problems that were found."""

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(
                ": ".join(filter(None, (".".join(map(str, each.path)), each.message)))
                for each in self.problems
            )
        )


def problems_in(error: ValueError, value: object, *at: str | int) -> Iterable[FieldProblem]:
    """Return the problems of an error about the value at the path `at`."""
    if isinstance(error, Invalid):
        return [each._replace(path=(*at, *each.path)) for each in error.problems]
    return [FieldProblem(at, str(error), value, isinstance(error, Contradiction))]


def kind_of(value: object) -> str:
    """Return a description of a value's type, without its content."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "something else"


def shown(value: object) -> str:
    """Return a value as a user would write it. Only for values that cannot be secrets."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _shortened(str(value))
        case str():
            return repr(_shortened(value))
        case _:
            return kind_of(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _near(word: str, known: Sequence[str]) -> str | None:
    # A long word is not a misspelling of a known one, and comparing it takes milliseconds.
    import difflib  # for mistakes only

    found = difflib.get_close_matches(word, known, n=1) if len(word) <= _SHOWN else []
    return found[0] if found else None


def nearest(word: str, known: Sequence[str]) -> str:
    """Return a hint with the most similar known word, or with all known words."""
    near = _near(word, known)
    return f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}"


def not_one_of(allowed: Sequence[str], value: object) -> str:
    """Return the message for a value that is not allowed, with the most similar allowed one."""
    near = _near(value, allowed) if isinstance(value, str) else None
    hint = f"; did you mean {near!r}?" if near else ""
    return f"must be one of {', '.join(allowed)}, not {shown(value)}{hint}"
