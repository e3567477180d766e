"""The base model of all settings, and the field types that several of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from keepalived.settings import durations
from keepalived.validation import After, Before, InContext, JsonSchema, Length, Model

LARGEST_INTEGER = 2**63 - 1
"""The largest integer that SQLite and JSON parsers written in C keep exactly."""

DURATION_SCHEMA = {
    "anyOf": [{"minimum": 0, "type": "number"}, {"pattern": durations.PATTERN, "type": "string"}]
}


def positive(seconds: float) -> float:
    """Return a duration that is longer than zero."""
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    return seconds


def expanded(path: Path) -> Path:
    """Return a path with its `~` or `~USER` expanded. Raises ValueError for an invalid path."""
    if "\0" in str(path):
        raise ValueError("contains a NUL character, which is not allowed in a path")
    try:
        return path.expanduser()
    except RuntimeError:
        user = path.parts[0].removeprefix("~")
        reason = (
            f"there is no user {user!r} with a home directory"
            if user
            else "this user has no home directory"
        )
        raise ValueError(f"'~' cannot be expanded: {reason}; write the full path") from None


def in_folder(path: Path, folder: Path | None) -> Path:
    """Resolve a path against the configuration's folder; without one, return it unchanged."""
    whole = expanded(path)
    return path if folder is None else folder / whole


def tuple_of_one(value: object) -> object:
    """Treat a single text as a list of one."""
    return (value,) if isinstance(value, str) else value


Duration = Annotated[float, Before(durations.parse_duration), JsonSchema(DURATION_SCHEMA)]
PositiveDuration = Annotated[Duration, After(positive)]
FilePath = Annotated[Path, InContext(in_folder)]
Name = Annotated[str, Length(least=1)]


class Strict(Model):
    """The base of all settings. A key without a value counts as left out.

    The validation context is the folder that relative paths start in, or None.
    """

    empty_is_left_out: ClassVar[bool] = True
