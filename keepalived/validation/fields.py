"""Constraints on fields, for annotations such as `Annotated[int, Range(least=0)]`.

Checks raise ValueError with a message for the user who gave the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from keepalived.validation.problems import shown


class Before(NamedTuple):
    """Changes or rejects the given value before its type is checked."""

    check: Callable[[Any], Any]


class After(NamedTuple):
    """Changes or rejects a value of the right type."""

    check: Callable[[Any], Any]


class InContext(NamedTuple):
    """Like `After`, but also receives the context of the validation."""

    check: Callable[[Any, Any], Any]


class Range(NamedTuple):
    """Bounds of a whole number, inclusive."""

    least: int | None = None
    most: int | None = None

    def check(self, value: int) -> int:
        """Return a number that is within the bounds; raise ValueError otherwise."""
        if self.least is not None and value < self.least:
            raise ValueError(f"must be at least {self.least}, not {shown(value)}")
        if self.most is not None and value > self.most:
            raise ValueError(f"must be at most {self.most}, not {shown(value)}")
        return value


class Length(NamedTuple):
    """Bounds of the length of a text, a list or a mapping."""

    least: int = 0
    most: int | None = None

    def check(self, value: Any) -> Any:
        """Return a value whose length is within the bounds; raise ValueError otherwise."""
        if len(value) < self.least:
            raise ValueError("must not be empty")
        if self.most is not None and len(value) > self.most:
            raise ValueError(f"must have at most {self.most} characters, not {len(value)}")
        return value


class Pattern(NamedTuple):
    """A regular expression for a whole text, in the common subset of Python and JSON schema."""

    expression: re.Pattern[str]
    message: str
    """The message for other texts, which says what the text must be."""

    def check(self, value: str) -> str:
        """Return a text that matches; raise ValueError otherwise."""
        if not self.expression.fullmatch(value):
            raise ValueError(self.message)
        return value


class Choice(NamedTuple):
    """Chooses the type of a union for a value. If `pick` returns None, the message is raised."""

    pick: Callable[[object], type | None]
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class JsonSchema:
    """Replaces the JSON schema of the type."""

    schema: dict[str, Any]


class ShownAs(NamedTuple):
    """The type and default for the JSON schema, if a check converts values."""

    kind: Any
    default: Any


HIDDEN = object()
"""Hides a field from JSON schemas and hints, because files cannot set it."""
