"""Encodes models as JSON and as HTTP responses."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from aiohttp import web

from keepalived.validation import Model, Secret

JSON = "application/json"

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def json_answer(
    model: Model,
    status: int = 200,
    *,
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a response with a model as its body."""
    return web.Response(
        body=to_json(model), status=status, headers=headers, content_type=content_type
    )


def to_json(model: Model) -> bytes:
    """Return a model as JSON. Text that UTF-8 cannot encode is escaped, as `sayable` does.

    Raises ValueError for values that JSON cannot represent.
    """
    text = _ENCODER.encode(model)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _HALF_CHARACTER.sub(lambda half: f"\\\\u{ord(half[0]):04x}", text).encode()


def _plain(value: object) -> object:
    if isinstance(value, Model):
        fields = {name: getattr(value, name) for name in type(value).defaults}
        omitted = value.omitted
        return {k: v for k, v in fields.items() if v not in omitted} if omitted else fields
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Path | Secret):
        return str(value)
    raise ValueError(f"{type(value).__name__} cannot be represented in JSON")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
)
