"""The base class of models: frozen classes that are validated, or written as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, Self, dataclass_transform

from keepalived.validation.problems import nearest

MISSING: Any = object()
"""Marks a field without a default."""

NOT_KNOWN = "this key is not known"

_set = object.__setattr__

Earlier = Mapping[str, Any]
"""The values of the valid earlier fields of the class, by name."""


class FieldCheck(NamedTuple):
    """A check of some fields, each of which may depend on earlier fields."""

    fields: tuple[str, ...]
    check: Callable[[Any, Earlier], Any]
    always: bool


def checks(
    *fields: str, always: bool = False
) -> Callable[[Callable[[Any, Earlier], Any]], FieldCheck]:
    """Decorate a function as the check of some fields.

    It takes the value and the earlier fields, and returns the value or raises ValueError. `always`
    makes it check defaults as well.
    """
    return lambda check: FieldCheck(fields, check, always)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class ModelType(type):
    """The metaclass of models: turns annotated fields into slots, like a dataclass.

    Dataclasses compile six methods for each class, which would take a tenth of the daemon's start
    for the fifty models.
    """

    defaults: dict[str, Any]
    """The fields by name, with their defaults or MISSING."""

    checks: tuple[FieldCheck, ...]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> ModelType:
        """Turn annotations into slots, and their values into defaults."""
        own = {
            field: namespace.pop(field, MISSING)
            for field, annotation in namespace.get("__annotations__", {}).items()
            if not annotation.startswith("ClassVar")
        }
        found = [each for each in namespace.values() if isinstance(each, FieldCheck)]
        namespace.setdefault("__slots__", tuple(own))
        made = super().__new__(cls, name, bases, namespace)
        made.defaults = {**getattr(made, "defaults", {}), **own}
        made.checks = (*getattr(made, "checks", ()), *found)
        return made


class Model(metaclass=ModelType):
    """A frozen class with annotated fields, which are given by name.

    The constructor does not check values; `validate` does. The docstring of a field is its
    description in the JSON schema.
    """

    __slots__ = ("given",)

    given: ClassVar[frozenset[str]]
    """The fields that were given to the constructor; the others have their defaults."""

    empty_is_left_out: ClassVar[bool] = False
    """Whether a key with an empty value counts as missing."""

    omitted: ClassVar[tuple[object, ...]] = ()
    """Values of fields that are omitted from JSON."""

    def __init__(self, **values: Any) -> None:
        _set(self, "given", _GIVEN.setdefault(given := frozenset(values), given))
        defaults = type(self).defaults
        if not values.keys() <= defaults.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(values - defaults.keys())}")
        for name, value in (defaults | values).items():
            if value is MISSING:
                raise TypeError(f"{type(self).__name__} needs {name!r}")
            _set(self, name, value)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Raise ValueError if fields contradict each other."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, without validation."""
        return type(self)(**{name: getattr(self, name) for name in self.given} | changes)

    @classmethod
    def unknown_key(cls, key: str, known: Sequence[str]) -> str:
        """Return the message for an unknown key."""
        hint = nearest(key, known) if known else "no key is allowed here"
        return f"{NOT_KNOWN}; {hint}"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in type(self).defaults)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in type(self).defaults)
        return f"{type(self).__name__}({', '.join(fields)})"

    if not TYPE_CHECKING:  # to a type checker, these would allow any name

        def __setattr__(self, name: str, value: object) -> NoReturn:
            raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

        def __delattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")


_GIVEN: dict[frozenset[str], frozenset[str]] = {}
"""Interned sets, since thousands of entries have the same fields."""
