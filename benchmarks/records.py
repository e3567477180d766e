"""Write figures as JSON with short lines, so that diffs show single changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_WIDTH = 200


def write(path: Path, data: dict[str, Any]) -> None:
    """Write data as JSON, nested only where lines would be long."""
    path.write_text(_text(data) + "\n", encoding="utf-8")


def _text(value: Any, indent: str = "") -> str:
    """Return JSON, with line breaks only where a line would be long and hold nested values."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list):
        return line
    inner = value.values() if isinstance(value, dict) else value
    is_nested = any(isinstance(each, dict | list) for each in inner)
    if not is_nested or (indent and len(indent) + len(line) <= _WIDTH):
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(str(key))}: {_text(of, deeper)}" for key, of in value.items()]
    else:
        parts = [_text(each, deeper) for each in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{end}"
