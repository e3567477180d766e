"""Writes the JSON schemas of models, from the annotations that validation uses.

Descriptions come from the docstrings of classes and fields.
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
_SIZES = {"string": "Length", "array": "Items", "object": "Properties"}


def schema_of(model: type[Model]) -> Schema:
    """Return the JSON schema of one model, with the schemas it refers to in `$defs`."""
    found = schemas_of([model], "#/$defs/{model}")
    own = found.pop(model.__name__)
    return {"$defs": found, **own} if found else own


def schemas_of(models: Iterable[type[Model]], reference: str) -> dict[str, Schema]:
    """Return the JSON schemas of models, and of all models they refer to, sorted by name.

    `reference` is a format string for references to the name `model`.
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
        """Return a reference to a model or an enumeration, and describe it if it is new."""
        name = kind.__name__
        if name not in self.found:
            self.found[name] = {}
            if issubclass(kind, Model):
                made = self._model(kind)
            else:
                made = {"type": "string", "enum": [each.value for each in kind]}
            description = inspect.cleandoc(kind.__doc__ or "")
            self.found[name] = _sorted({**made, "description": description, "title": name})
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
        name = schema.get("$ref", "").rpartition("/")[2]
        if description and (not name or description != self.found[name].get("description")):
            schema["description"] = description
        if not any("$ref" in each for each in (schema, *schema.get("anyOf", ()))):
            schema["title"] = field.name.replace("_", " ").title()
        return _sorted(schema)

    def _type(self, annotation: Any) -> Schema:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotated(arguments[0], arguments[1:])
        if origin in (Union, UnionType):
            return {"anyOf": [part for each in arguments for part in _parts(self._type(each))]}
        if origin is tuple:
            return {"type": "array", "items": self._type(arguments[0])}
        if origin is dict:
            names, values = map(self._type, arguments)
            named = {} if names == {"type": "string"} else {"propertyNames": names}
            return {"type": "object", "additionalProperties": values, **named}
        if origin is Literal:
            allowed = {"enum": [*arguments]} if len(arguments) > 1 else {"const": arguments[0]}
            return _SCALARS[type(arguments[0])] | allowed
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
                    schema |= _limits({"minimum": least, "maximum": most})
                case Pattern(expression):
                    schema["pattern"] = expression.pattern
                case Length(least, most):
                    what = _SIZES[schema["type"]]
                    schema |= _limits({f"min{what}": least or None, f"max{what}": most})
                case Choice():
                    schema = {"oneOf": schema["anyOf"]}
        return _sorted(schema)


def _parts(schema: Schema) -> list[Schema]:
    return schema["anyOf"] if list(schema) == ["anyOf"] else [_sorted(schema)]


def _limits(limits: Schema) -> Schema:
    return {key: limit for key, limit in limits.items() if limit is not None}


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


def _field_docs(model: type[Model]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each.__module__ in sys.modules and issubclass(each, Model):
            found |= _docs_in(sys.modules[each.__module__]).get(each.__qualname__, {})
    return found


@cache
def _docs_in(module: ModuleType) -> dict[str, dict[str, str]]:
    """Return the docstrings of fields, by class and field, of all classes in a module.

    Empty if its source is not installed, or is being replaced.
    """
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
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
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
