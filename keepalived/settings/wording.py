"""What pydantic found wrong, in the words of a person who writes YAML."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from keepalived.settings.construct import UNREADABLE
from keepalived.settings.document import Document
from keepalived.settings.problems import Path, Problem

_SHOWN = 60
_MOST = 20

KEEP_SECRETS_OUT = (
    "secrets do not belong in this file; name where the password is: "
    "`password_file: /path`, `password_env: NAME`, or `credential: NAME` (systemd)"
)
"""What to tell whoever writes a password into a file of settings."""


def problems_of(
    error: ValidationError, model: type[BaseModel], document: Document, path: Path = ()
) -> list[Problem]:
    """Return one problem for each error that was found in what stands at `path`.

    What could not even be read is left out: the document's flaws say more of it. Beyond the first
    ones they are counted.
    """
    found = [each for each in error.errors(include_url=False) if each["input"] is not UNREADABLE]
    problems = [
        document.problem(path + _place(each), words_for(each, model)) for each in found[:_MOST]
    ]
    if len(found) > _MOST:
        problems.append(document.problem(path, f"{len(found) - _MOST} more problems here"))
    return problems


def words_for(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong and what to do. Repeats a value only where it cannot be a secret."""
    if error["type"] == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), _known_keys(model, error["loc"][:-1]))
    words = _WORDS.get(error["type"])
    return words(error) if words else error["msg"]


def kind_of(value: object) -> str:
    """Return what kind of value it is, and nothing of what it says."""
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
    """Return a value as a person would speak of it. For what cannot be a secret."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
        case _:
            return kind_of(value)


def nearest(word: str, known: list[str]) -> str:
    """Return the hint that names the nearest of the known words, or else all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _unknown(key: str, known: list[str]) -> str:
    if "password_file" in known and difflib.get_close_matches(key, ["password"], cutoff=0.7):
        return KEEP_SECRETS_OUT
    return f"this key is not known; {nearest(key, known)}"


def _place(error: ErrorDetails) -> Path:
    return tuple(part for part in error["loc"] if part != "[key]")


def _known_keys(model: type[BaseModel], loc: Path) -> list[str]:
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return _keys_of(model)


@cache
def _keys_of(model: type[BaseModel]) -> list[str]:
    # The schema leaves out the fields that no file can set.
    return list(model.model_json_schema()["properties"])


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _one_of(error: ErrorDetails) -> str:
    allowed = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    value = error["input"]
    near = difflib.get_close_matches(value, allowed, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"must be one of {', '.join(allowed)}, not {shown(value)}{hint}"


def _not_text(error: ErrorDetails) -> str:
    value = error["input"]
    hint = "; put it in quotes" if isinstance(value, bool | int | float) else ""
    return f"must be text, not {kind_of(value)}{hint}"


def _not_whole(error: ErrorDetails) -> str:
    value = error["input"]
    hint = "; leave the quotes away" if isinstance(value, str) and value.isdecimal() else ""
    return f"must be a whole number, not {shown(value)}{hint}"


def _no_mapping(error: ErrorDetails) -> str:
    return f"must be a mapping, `key: value`, not {kind_of(error['input'])}"


_WORDS: dict[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda error: "is missing",
    "value_error": lambda error: str(error["ctx"]["error"]),
    "string_type": _not_text,
    "string_too_short": lambda error: "must not be empty",
    "int_type": _not_whole,
    "bool_type": lambda error: f"must be true or false, not {shown(error['input'])}",
    "enum": _one_of,
    "greater_than_equal": lambda error: (
        f"must be at least {error['ctx']['ge']}, not {error['input']}"
    ),
    "less_than_equal": lambda error: f"must be at most {error['ctx']['le']}, not {error['input']}",
    "model_type": _no_mapping,
    "dict_type": _no_mapping,
    "too_short": lambda error: "must not be empty",
    "tuple_type": lambda error: f"must be a list, each with '- ', not {kind_of(error['input'])}",
    "path_type": lambda error: f"must be the path of a file, not {kind_of(error['input'])}",
}
