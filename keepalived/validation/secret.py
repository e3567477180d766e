"""Wraps a secret, so that logs, errors and JSON cannot show it by accident."""

from __future__ import annotations

_SHOWN = "**********"


class Secret:
    """A text that only `reveal` returns; anything else shows asterisks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text."""
        return self._value

    def __str__(self) -> str:
        return _SHOWN

    def __repr__(self) -> str:
        return f"Secret({_SHOWN!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))
