"""Problems with a configuration, as messages for its author."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_KEY = 60

Path = tuple[str | int, ...]
"""A place in a document: keys of mappings and indexes of lists."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem and its place. Never contains a secret.

    `file` is a path as the user gave it, or another source of the value; `line` counts from 1.
    """

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return printable(": ".join(part for part in (place, self.path, self.message) if part))


class ConfigError(Exception):
    """A configuration cannot be used. `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def printable(text: str) -> str:
    """Return a text on one line, with its control characters escaped."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def dotted(path: Path) -> str:
    """Return a path in dotted form: `sessions[3].progress`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if len(part) <= _LONGEST_KEY else f"{part[:_LONGEST_KEY]}…"
            text += f".{name}" if text else name
    return text
