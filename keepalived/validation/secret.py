"""A secret as a value that no log, error or JSON repeats by accident."""

from __future__ import annotations

_SHOWN = "**********"


class Secret:
    """Holds a text that only `reveal` tells; whatever prints it shows stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __str__(self) -> str:
        return _SHOWN

    def __repr__(self) -> str:
        return f"Secret({_SHOWN!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))
