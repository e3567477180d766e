"""Convert log events to entries of systemd's journal, searchable by field.

Examples: `journalctl -p err`, `journalctl SESSION_ID=…`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

IDENTIFIER = "clkeepalived"

# Levels of the standard library, and of syslog(3).
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_NOTICE = 5
# The journal records these itself, or `fields_of` gives them their own fields.
_ELSEWHERE = frozenset({"timestamp", "level", "event", "message", "exception", "stack"})
_UNFIT = re.compile(r"[^A-Z0-9_]")
_LONGEST_NAME = 64
_OUR_NAMES = frozenset({"MESSAGE", "PRIORITY", "EVENT", "SYSLOG_IDENTIFIER", "EXCEPTION", "STACK"})


def fields_of(event: Mapping[str, Any]) -> dict[str, str]:
    """Return an entry's fields: MESSAGE for readers, and one field for each value of the event."""
    context = {
        name: _text(value)
        for name, value in event.items()
        if name not in _ELSEWHERE and value is not None
    }
    traces = {name: _text(event[name]) for name in ("exception", "stack") if event.get(name)}
    fields = {
        "MESSAGE": _message(event, context, traces.values()),
        "PRIORITY": str(_PRIORITIES.get(str(event["level"]), _NOTICE)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "EVENT": str(event["event"]),
        **{name.upper(): text for name, text in traces.items()},
    }
    for name, value in context.items():
        fields.setdefault(_field_name(name), value)
    return fields


def _message(event: Mapping[str, Any], context: Mapping[str, str], below: Iterable[str]) -> str:
    """Return one line, and the text to show below it."""
    parts = [str(event["event"])]
    if event.get("message"):
        parts.append(f"({event['message']})")
    for name, value in context.items():
        is_bare = value and " " not in value
        parts.append(f"{name}={value if is_bare else json.dumps(value, ensure_ascii=False)}")
    # One line: a server's message must not look like a separate entry.
    return "\n".join([" ".join(" ".join(parts).split()), *below])


def _field_name(name: str) -> str:
    """Return a name that journald accepts; names with a leading underscore are reserved."""
    fit = _UNFIT.sub("_", name.upper()).lstrip("_0123456789")[:_LONGEST_NAME] or "FIELD"
    return f"{fit}_" if fit in _OUR_NAMES else fit


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
