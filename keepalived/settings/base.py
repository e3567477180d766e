"""What all settings are made of: a strict model, and fields of kinds that occur more than once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from keepalived.settings import durations
from keepalived.validation import After, Before, InContext, JsonSchema, Length, Model

LARGEST_INTEGER = 2**63 - 1
"""What SQLite, and whatever reads JSON by C, keep exactly."""

DURATION_SCHEMA = {
    "anyOf": [{"minimum": 0, "type": "number"}, {"pattern": durations.PATTERN, "type": "string"}]
}


def positive(seconds: float) -> float:
    """Return a duration that is longer than nothing."""
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    return seconds


def expanded(path: Path) -> Path:
    """Return a path with its `~` or `~USER` written out. Raises ValueError for what is no path."""
    if "\0" in str(path):
        raise ValueError("holds a NUL character, which no path can")
    try:
        return path.expanduser()
    except RuntimeError:
        user = path.parts[0].removeprefix("~")
        whose = f"there is no user {user!r} with one" if user else "this user has none"
        raise ValueError(f"'~' is a home directory, and {whose}; write the whole path") from None


def in_folder(path: Path, folder: Path | None) -> Path:
    """Return a path in its full form: relative ones belong to the configuration's folder."""
    whole = expanded(path)
    return path if folder is None else folder / whole


def tuple_of_one(value: object) -> object:
    """Let one text stand for a list of one."""
    return (value,) if isinstance(value, str) else value


Duration = Annotated[float, Before(durations.parse_duration), JsonSchema(DURATION_SCHEMA)]
PositiveDuration = Annotated[Duration, After(positive)]
FilePath = Annotated[Path, InContext(in_folder)]
Name = Annotated[str, Length(least=1)]


class Strict(Model):
    """What all settings have in common: a key with nothing after it counts as left out.

    They are validated in the context of the folder to which relative paths belong, or of None.
    """

    empty_is_left_out: ClassVar[bool] = True
