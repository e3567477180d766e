"""JSON schemas of models, made of the same annotations by which they are read.

Descriptions are the docstrings of classes, and the texts below their fields in the source.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from keepalived.validation.fields import Choice, JsonSchema, Length, Pattern, Range, ShownAs
from keepalived.validation.model import MISSING, Model
from keepalived.validation.reading import Field, fields_of

Schema = dict[str, Any]

_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Path: {"type": "string", "format": "path"},
    datetime: {"type": "string", "format": "date-time"},
    type(None): {"type": "null"},
}


def schema_of(model: type[Model]) -> Schema:
    """Return the JSON schema of one model, with what it refers to in `$defs`."""
    found = schemas_of([model], "#/$defs/{model}")
    own = found.pop(model.__name__)
    return {"$defs": found, **own} if found else own


def schemas_of(models: Iterable[type[Model]], reference: str) -> dict[str, Schema]:
    """Return the JSON schemas of models, and of all that they refer to, by name and sorted.

    `reference` is a format that makes a reference of the name `model`.
    """
    writer = _Writer(reference)
    for model in models:
        writer.refer(model)
    return dict(sorted(writer.found.items()))


class _Writer:
    def __init__(self, reference: str) -> None:
        self.found: dict[str, Schema] = {}
        self._reference = reference

    def refer(self, kind: type[Any]) -> Schema:
        """Return a reference to a model or an enumeration, which is described once."""
        name = kind.__name__
        if name not in self.found:
            self.found[name] = {}
            made = self._model(kind) if issubclass(kind, Model) else _enum(kind)
            self.found[name] = _sorted({**made, "description": _doc(kind), "title": name})
        return {"$ref": self._reference.format(model=name)}

    def _model(self, model: type[Model]) -> Schema:
        fields = [each for each in fields_of(model).values() if not each.is_hidden]
        required = [each.name for each in fields if each.default is MISSING]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {each.name: self._field(each, model) for each in fields},
            **({"required": required} if required else {}),
        }

    def _field(self, field: Field, model: type[Model]) -> Schema:
        schema = dict(self._type(field.annotation))
        if field.default is not MISSING:
            schema.setdefault("default", _plain(field.default))
        description = _field_docs(model).get(field.name)
        if description and description != self._described(schema):
            schema["description"] = description
        parts = [schema, *schema.get("anyOf", ())]
        if not any("$ref" in each for each in parts):
            schema["title"] = field.name.replace("_", " ").title()
        return _sorted(schema)

    def _described(self, schema: Schema) -> str | None:
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.found[name].get("description") if name else None

    def _type(self, annotation: Any) -> Schema:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:])
        if origin in (Union, UnionType):
            return {"anyOf": [part for each in arguments for part in _parts(self._type(each))]}
        if origin is tuple:
            return {"type": "array", "items": self._type(arguments[0])}
        if origin is dict:
            return self._dict(*arguments)
        if origin is Literal:
            return _literal(arguments)
        if issubclass(annotation, Model | Enum):
            return self.refer(annotation)
        return _SCALARS[annotation]

    def _annotated(self, kind: Any, metadata: tuple[Any, ...]) -> Schema:
        for each in metadata:
            if isinstance(each, JsonSchema):
                return each.schema
            if isinstance(each, ShownAs):
                return {**self._type(each.kind), "default": each.default}
        schema = dict(self._type(kind))
        for each in metadata:
            match each:
                case Range(least, most):
                    limits = {"minimum": least, "maximum": most}
                    schema |= {key: limit for key, limit in limits.items() if limit is not None}
                case Pattern(expression):
                    schema["pattern"] = expression.pattern
                case Length():
                    schema |= _length(each, schema["type"])
                case Choice():
                    schema = {"oneOf": schema["anyOf"]}
        return _sorted(schema)

    def _dict(self, key: Any, value: Any) -> Schema:
        names = self._type(key)
        named = {} if names == {"type": "string"} else {"propertyNames": names}
        return {"type": "object", "additionalProperties": self._type(value), **named}


def _parts(schema: Schema) -> list[Schema]:
    return schema["anyOf"] if list(schema) == ["anyOf"] else [_sorted(schema)]


def _length(length: Length, kind: str) -> Schema:
    what = {"string": "Length", "array": "Items", "object": "Properties"}[kind]
    limits = {f"min{what}": length.least or None, f"max{what}": length.most}
    return {key: limit for key, limit in limits.items() if limit is not None}


def _literal(allowed: tuple[Any, ...]) -> Schema:
    kind = _SCALARS[type(allowed[0])]
    return {**kind, "const": allowed[0]} if len(allowed) == 1 else {**kind, "enum": [*allowed]}


def _enum(kind: type[Enum]) -> Schema:
    return {"type": "string", "enum": [each.value for each in kind]}


def _sorted(schema: Schema) -> Schema:
    return dict(sorted(schema.items()))


def _plain(default: Any) -> Any:
    match default:
        case Model():
            names = (name for name, each in fields_of(type(default)).items() if not each.is_hidden)
            return {name: _plain(getattr(default, name)) for name in names}
        case tuple():
            return [*map(_plain, default)]
        case Path():
            return str(default)
        case Enum():
            return default.value
        case _:
            return default


def _doc(kind: type[Any]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _field_docs(model: type[Model]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each.__module__ in sys.modules and issubclass(each, Model):
            found |= _docs_in(sys.modules[each.__module__]).get(each.__qualname__, {})
    return found


@cache
def _docs_in(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return the texts below fields, by class and field, of all classes in a module.

    Nothing, where its source is not installed.
    """
    try:
        source = inspect.getsource(module)
    except OSError:
        return {}
    return {
        node.name: {
            field.target.id: inspect.cleandoc(below.value.value)
            for field, below in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        }
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }
