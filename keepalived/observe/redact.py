"""Remove secrets from log events, and cut long values: the last defence.

Secrets in a vCenter's answers are already removed when these are read (`vcenter/hiding.py`).

Texts may be hostile, and this runs in the event loop: every expression takes linear time, and
long texts are cut first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

REDACTED = "***"

LONGEST_TEXT = 1024
"""Characters of one value that are kept; the note of the cut is added to them."""

LONGEST_TRACEBACK = 16 * 1024
"""Characters of a traceback that are kept: half of them from its end, where the error is."""

_TRACEBACKS = frozenset({"exception", "stack"})

_WORDS = (
    r"password|passwd|passphrase|secret|token|authorization|cookie|vmware[-_]api[-_]session[-_]id"
)
# The last word of a key decides: `password` and `proxy-authorization` hold secrets,
# `password_file` and `token_age` do not.
_SECRET_KEY = re.compile(rf"(?:{_WORDS})s?$", re.IGNORECASE)

# In running text: a header or an assignment with its value, and the user part of a URL. Elsewhere a
# colon does not indicate a secret: "vcenters.lab.password: unknown key" is harmless and useful.
_HEADER = r"(?:authorization|cookie|vmware-api-session-id)['\"]?\s*:\s*"
_ASSIGNMENT = rf"(?:{_WORDS})['\"]?\s*=\s*"
# The end of the text also ends a quoted value: the text may have been cut inside it.
_VALUE = r"""(?:(?:basic|bearer)\s+)?(?:"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|[^\s,;)}\]]+)"""
# The scheme is not matched: trying it at every position would take quadratic time.
_URL_USER = r"://[^/\s]+@"
_SECRET_IN_TEXT = re.compile(
    rf"(?P<label>{_HEADER}|{_ASSIGNMENT}){_VALUE}|{_URL_USER}", re.IGNORECASE
)


def redact(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Structlog processor: replace what looks like a secret, by key or in running text."""
    return {key: _clean(key, value) for key, value in event_dict.items()}


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Cut a text to `longest` characters, and append a note of how many were cut.

    If the cut is inside a URL's host, the host is removed too: what is left of it may be the user
    and password that precede a host.
    """
    if len(text) <= longest:
        return text
    kept = text[:longest]
    before, scheme_end, rest = kept.rpartition("://")
    if scheme_end and not any(char == "/" or char.isspace() for char in rest):
        kept = before + scheme_end
    return f"{kept}… ({len(text) - len(kept)} more characters)"


def redacted(text: str) -> str:
    """Return a text, shortened, with everything that looks like a secret replaced."""
    return _without_secrets(shortened(text))


def _clean(key: object, value: Any) -> Any:
    if value is not None and isinstance(key, str) and _SECRET_KEY.search(key):
        return REDACTED
    if isinstance(value, str):
        if key in _TRACEBACKS:
            return _without_secrets("\n".join(_ends_of(value)))
        return redacted(value)
    if isinstance(value, Mapping):
        return {inner: _clean(inner, held) for inner, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(None, held) for held in value]
    return value


def _without_secrets(text: str) -> str:
    return _SECRET_IN_TEXT.sub(_hide, text)


def _ends_of(traceback: str) -> list[str]:
    """Return the lines of a traceback, shortened; of a long one only the first and the last."""
    lines = [shortened(line) for line in traceback.splitlines()]
    if sum(map(len, lines)) <= LONGEST_TRACEBACK:
        return lines
    head, tail = _fitting(lines), _fitting(lines[::-1])[::-1]
    omitted = len(lines) - len(head) - len(tail)
    return [*head, f"… ({omitted} more lines)", *tail] if omitted > 0 else lines


def _fitting(lines: list[str]) -> list[str]:
    """Return as many first lines as fit into half of a traceback."""
    sizes = accumulate(map(len, lines))
    fits = LONGEST_TRACEBACK // 2
    return [line for line, size in zip(lines, sizes, strict=True) if size <= fits]


def _hide(match: re.Match[str]) -> str:
    label = match["label"]
    return f"{label}{REDACTED}" if label else f"://{REDACTED}@"
