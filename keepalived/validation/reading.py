"""Validates plain data or JSON, and creates models, with a reader function for each annotation.

A reader returns the value or raises ValueError with a message for the user: `Invalid` if there may
be several problems. The annotations of a class are resolved when it is first used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from functools import cache
from pathlib import Path as FilePath
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from keepalived.validation.fields import (
    HIDDEN,
    After,
    Before,
    Choice,
    InContext,
    Length,
    Pattern,
    Range,
)
from keepalived.validation.model import MISSING, NOT_KNOWN, Model
from keepalived.validation.problems import (
    FieldProblem,
    Invalid,
    kind_of,
    not_one_of,
    problems_in,
    shown,
)
from keepalived.validation.secret import Secret

Reader = Callable[[Any, Any], Any]
"""Takes the value and the context of the validation."""

M = TypeVar("M", bound=Model)

_MAX_PROBLEMS = 100
"""Validation of a list stops after this many problems, so that no request takes long to refuse."""

_MAX_HINTS = 20
"""The most unknown keys that are compared with the known ones, for the same reason."""


_AFTER = (After, InContext, Length, Pattern, Range)


class Field(NamedTuple):
    """One field of a model."""

    name: str
    annotation: Any
    default: Any
    """MISSING for a required field."""

    is_hidden: bool


def validate(model: type[M], data: object, context: object = None) -> M:
    """Create a model from plain data. Raises Invalid with all problems.

    `context` is passed to `InContext` checks.
    """
    try:
        found: M = _model(model)(data, context)
    except ValueError as error:
        raise Invalid(problems_in(error, data)) from None
    return found


def validate_json(model: type[M], raw: bytes) -> M:
    """Create a model from a JSON object. Raises Invalid with all problems."""
    try:
        data = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError) as error:
        problem = f"is not accepted as JSON: {error}"
    else:
        if isinstance(data, dict):
            return validate(model, data)
        problem = f"must be a JSON object, {{…}}, not {kind_of(data)}"
    raise Invalid([FieldProblem((), problem, raw)])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


@cache
def fields_of(model: type[Model]) -> dict[str, Field]:
    """Return the fields of a model by name."""
    hints = get_type_hints(model, include_extras=True)
    return {
        name: Field(name, hints[name], default, HIDDEN in getattr(hints[name], "__metadata__", ()))
        for name, default in model.defaults.items()
    }


def _reader_of(annotation: Any) -> Reader:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple:
        return _tuple(_reader_of(arguments[0]))
    if origin is dict:
        return _dict(*map(_reader_of, arguments))
    if origin is Literal:
        return _literal(arguments)
    if issubclass(annotation, Model):
        return _model(annotation)
    if issubclass(annotation, Enum):
        return _enum(annotation)
    return _SCALARS[annotation]


def _annotated(kind: Any, metadata: tuple[Any, ...]) -> Reader:
    choice = next((each for each in metadata if isinstance(each, Choice)), None)
    read = _reader_of(kind) if choice is None else _choice(choice)
    before = [each.check for each in reversed(metadata) if isinstance(each, Before)]
    after = [_in_context(each) for each in metadata if isinstance(each, _AFTER)]

    def read_and_check(value: Any, context: object) -> Any:
        for check in before:
            value = check(value)
        value = read(value, context)
        for check_in_context in after:
            value = check_in_context(value, context)
        return value

    return read_and_check if before or after else read


def _in_context(each: After | InContext | Length | Pattern | Range) -> Reader:
    return each.check if isinstance(each, InContext) else lambda value, _: each.check(value)


def _choice(choice: Choice) -> Reader:
    def read(value: object, context: object) -> object:
        picked = choice.pick(value)
        if picked is None:
            raise ValueError(choice.message)
        return _reader_of(picked)(value, context)

    return read


def _union(kinds: tuple[Any, ...]) -> Reader:
    takes_none = type(None) in kinds
    readers = [_reader_of(each) for each in kinds if each is not type(None)]

    def read_any(value: object, context: object) -> object:
        messages = []
        for read in readers:
            try:
                return read(value, context)
            except ValueError as error:
                messages.append(str(error))
        raise ValueError(", or ".join(messages))

    read = readers[0] if len(readers) == 1 else read_any
    if not takes_none:
        return read
    return lambda value, context: None if value is None else read(value, context)


def _tuple(read: Reader) -> Reader:
    def read_all(value: object, context: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list ('- …'), not {kind_of(value)}")
        found: list[Any] = []
        problems: list[FieldProblem] = []
        for place, each in enumerate(value):
            try:
                found.append(read(each, context))
            except ValueError as error:
                problems += problems_in(error, each, place)
                if len(problems) >= _MAX_PROBLEMS:
                    break
        if problems:
            raise Invalid(problems)
        return tuple(found)

    return read_all


def _dict(read_key: Reader, read_value: Reader) -> Reader:
    def read_all(value: object, context: object) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise ValueError(_not_a_mapping(value))
        found: dict[Any, Any] = {}
        problems: list[FieldProblem] = []
        for key, each in value.items():
            try:
                name = read_key(key, context)
            except ValueError as error:
                problems += problems_in(error, key, key)
                name = key
            try:
                found[name] = read_value(each, context)
            except ValueError as error:
                problems += problems_in(error, each, key)
        if problems:
            raise Invalid(problems)
        return found

    return read_all


def _literal(allowed: tuple[Any, ...]) -> Reader:
    def read(value: object, _: object) -> object:
        for each in allowed:
            if type(value) is type(each) and value == each:
                return each
        raise ValueError(f"must be {' or '.join(map(shown, allowed))}")

    return read


def _enum(kind: type[Enum]) -> Reader:
    members = {str(each.value): each for each in kind}

    def read(value: object, _: object) -> Enum:
        found = members.get(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(not_one_of(tuple(members), value))
        return found

    return read


def _text(value: object, _: object) -> str:
    if not isinstance(value, str):
        hint = "; put it in quotes" if isinstance(value, bool | int | float) else ""
        raise ValueError(f"must be text, not {kind_of(value)}{hint}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate, which is not valid text") from None
    return value


def _integer(value: object, _: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        hint = "; remove the quotes" if isinstance(value, str) and value.isdecimal() else ""
        raise ValueError(f"must be a whole number, not {shown(value)}{hint}")
    return value


def _boolean(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")
    return value


def _number(value: object, _: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"must be a number, not {kind_of(value)}")
    return value


def _path(value: object, _: object) -> FilePath:
    if not isinstance(value, str | FilePath):
        raise ValueError(f"must be the path of a file, not {kind_of(value)}")
    return FilePath(value)


def _secret(value: object, _: object) -> Secret:
    if not isinstance(value, Secret):
        raise ValueError("must be a secret")
    return value


_SCALARS: dict[Any, Reader] = {
    str: _text,
    int: _integer,
    bool: _boolean,
    float: _number,
    FilePath: _path,
    Secret: _secret,
}


def _not_a_mapping(value: object) -> str:
    return f"must be a mapping, `key: value`, not {kind_of(value)}"


@cache
def _model(model: type[Model]) -> Reader:
    fields = fields_of(model)
    known = [name for name, field in fields.items() if not field.is_hidden]
    plan = [
        (
            name,
            _reader_of(field.annotation),
            [each for each in model.checks if name in each.fields],
            field.default,
        )
        for name, field in fields.items()
    ]

    def read(data: object, context: object) -> Model:
        if isinstance(data, model):
            return data
        if not isinstance(data, dict):
            raise ValueError(_not_a_mapping(data))
        if model.empty_is_left_out and None in data.values():
            data = {
                key: value for key, value in data.items() if value is not None or key not in fields
            }
        given: dict[str, Any] = {}
        earlier: dict[str, Any] = {}
        problems: list[FieldProblem] = []
        for name, read_field, checks, default in plan:
            is_given = name in data
            try:
                if not is_given and default is MISSING:
                    raise ValueError("is missing")
                value = read_field(data[name], context) if is_given else default
                for each in checks:
                    if is_given or each.always:
                        value = each.check(value, earlier)
                earlier[name] = value
                if is_given:
                    given[name] = value
            except ValueError as error:
                problems += problems_in(error, data.get(name), name)
        for place, key in enumerate([key for key in data if key not in fields]):
            problem = model.unknown_key(str(key), known) if place < _MAX_HINTS else NOT_KNOWN
            problems.append(FieldProblem((key,), problem, data[key]))
        if problems:
            raise Invalid(problems)
        return model(**given)

    return read
