"""What all settings are made of: a strict model, and fields of kinds that occur more than once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from keepalived.settings import durations

FOLDER = "folder"
"""Key of the validation context that holds the folder to which relative paths belong."""

LARGEST_INTEGER = 2**63 - 1
"""What SQLite, and whatever reads JSON by C, keep exactly."""

DURATION_SCHEMA = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": durations.PATTERN}]
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


def in_folder(path: Path, info: ValidationInfo) -> Path:
    """Return a path in its full form: relative ones belong to the configuration's folder."""
    folder = (info.context or {}).get(FOLDER)
    whole = expanded(path)
    return path if folder is None else folder / whole


def tuple_of_one(value: object) -> object:
    """Let one text stand for a list of one."""
    return (value,) if isinstance(value, str) else value


Duration = Annotated[
    float, BeforeValidator(durations.parse_duration), WithJsonSchema(DURATION_SCHEMA)
]
PositiveDuration = Annotated[Duration, AfterValidator(positive)]
FilePath = Annotated[Path, AfterValidator(in_folder)]
Name = Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """What all settings have in common: nothing unknown, nothing changed later."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_empty_keys_out(cls, data: Any) -> Any:
        """Let a key with nothing after it count as left out."""
        if not isinstance(data, Mapping) or None not in data.values():
            return data
        return {
            key: value
            for key, value in data.items()
            if value is not None or key not in cls.model_fields
        }
