"""What an annotation can say of a field beside its type: `Annotated[int, Range(least=0)]`.

Checks raise ValueError with words for the author of the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from keepalived.validation.problems import shown


class Before(NamedTuple):
    """Changes or refuses the given value before its type is checked."""

    check: Callable[[Any], Any]


class After(NamedTuple):
    """Changes or refuses a value of the right type."""

    check: Callable[[Any], Any]


class InContext(NamedTuple):
    """Like `After`, but also receives the context of the validation."""

    check: Callable[[Any, Any], Any]


class Range(NamedTuple):
    """Bounds of a whole number, both included."""

    least: int | None = None
    most: int | None = None

    def check(self, value: int) -> int:
        """Return a number within the bounds."""
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
        """Return a value whose length is within the bounds."""
        if len(value) < self.least:
            raise ValueError("must not be empty")
        if self.most is not None and len(value) > self.most:
            raise ValueError(f"must have at most {self.most} characters, not {len(value)}")
        return value


class Pattern(NamedTuple):
    """A regular expression for a whole text, in the common subset of Python and JSON schema."""

    expression: re.Pattern[str]
    words: str
    """What the text must be."""

    def check(self, value: str) -> str:
        """Return a text that matches."""
        if not self.expression.fullmatch(value):
            raise ValueError(self.words)
        return value


class Choice(NamedTuple):
    """Chooses the type of a union for a value, or None; and describes the allowed values."""

    pick: Callable[[object], type | None]
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class JsonSchema:
    """Replaces the JSON schema that the type would give."""

    schema: dict[str, Any]


class ShownAs(NamedTuple):
    """The type and default in the JSON schema, where a check converts them."""

    kind: Any
    default: Any


HIDDEN = object()
"""The field is in no JSON schema and in no hint: files cannot set it."""
