"""Models as JSON, whatever stands in them."""

from __future__ import annotations

from typing import Any

import pydantic_core

from keepalived.control.base import Model
from keepalived.lease.words import sayable


def to_json(model: Model, *, exclude_none: bool = False) -> bytes:
    """Return a model as JSON. Text that UTF-8 cannot say is escaped.

    Raises ValueError for what JSON cannot say at all.
    """
    try:
        return model.model_dump_json(exclude_none=exclude_none).encode()
    except pydantic_core.PydanticSerializationError:
        return pydantic_core.to_json(_sayable(model.model_dump(exclude_none=exclude_none)))


def _sayable(value: Any) -> Any:
    match value:
        case str():
            return sayable(value)
        case dict():
            return {_sayable(key): _sayable(each) for key, each in value.items()}
        case list() | tuple():
            return [_sayable(each) for each in value]
        case _:
            return value
