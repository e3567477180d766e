"""The last line of defence against secrets in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from structlog.typing import EventDict, WrappedLogger

REDACTED = "***"

_WORDS = (
    r"password|passwd|passphrase|secret|token|authorization|cookie|vmware[-_]api[-_]session[-_]id"
)
# A key counts by its last word: `password` and `proxy-authorization` hold secrets,
# `password_file` and `token_age` do not.
_SECRET_KEY = re.compile(rf"(?:{_WORDS})s?$", re.IGNORECASE)

# In running text: a header or an assignment with its value, and the user part of a URL. A colon
# alone proves nothing elsewhere: "vcenters.lab.password: unknown key" is worth reading.
_HEADER = r"(?:authorization|cookie|vmware-api-session-id)['\"]?\s*:\s*"
_ASSIGNMENT = rf"(?:{_WORDS})['\"]?\s*=\s*"
_VALUE = r"""(?:(?:basic|bearer)\s+)?(?:"[^"]*"|'[^']*'|[^\s,;)}\]]+)"""
_URL_USER = r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s]+@"
_SECRET_IN_TEXT = re.compile(
    rf"(?P<label>{_HEADER}|{_ASSIGNMENT}){_VALUE}|{_URL_USER}", re.IGNORECASE
)


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Structlog processor: replace what looks like a secret, by key or in running text."""
    return {key: _clean(key, value) for key, value in event_dict.items()}


def _clean(key: object, value: Any) -> Any:
    if value is not None and isinstance(key, str) and _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_IN_TEXT.sub(_hide, value)
    if isinstance(value, Mapping):
        return {inner: _clean(inner, held) for inner, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(None, held) for held in value]
    return value


def _hide(match: re.Match[str]) -> str:
    label = match["label"]
    return f"{label}{REDACTED}" if label else f"{match['scheme']}{REDACTED}@"
