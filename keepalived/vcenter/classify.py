"""From status and body to an outcome: by code and vAPI error type, never by the words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from keepalived.lease.answers import Outcome
from keepalived.vcenter.results import message
from keepalived.vcenter.transport import Reply

_BY_STATUS = {
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    429: Outcome.UNAVAILABLE,
    502: Outcome.UNAVAILABLE,
    503: Outcome.UNAVAILABLE,
    504: Outcome.UNAVAILABLE,
}
_BY_ERROR_TYPE = {
    "not_allowed_in_current_state": Outcome.NOT_ALLOWED,
    "invalid_argument": Outcome.INVALID_ARGUMENT,
}
_ERROR_PREFIX = "com.vmware.vapi.std.errors."
_WORDS_MOST = 300


def outcome_of(reply: Reply) -> Outcome:
    """Return the class of an answer. A 404 is not yet proven to be about a session."""
    status = reply.status
    if 200 <= status < 300:
        return Outcome.OK
    if 300 <= status < 400:
        return Outcome.REDIRECTED
    if status == 400:
        return _BY_ERROR_TYPE.get(error_type(reply.body), Outcome.FAILED)
    return _BY_STATUS.get(status, Outcome.FAILED)


def error_type(body: bytes) -> str:
    """Return the vAPI error type in lower case, from either dialect's shape, or an empty string."""
    error = _error(body)
    nested = error.get("value")
    named = error.get("error_type")
    if named is None and isinstance(nested, dict):
        named = nested.get("error_type")
    if isinstance(named, str):
        return named.lower()
    typed = error.get("type")
    return typed.removeprefix(_ERROR_PREFIX).lower() if isinstance(typed, str) else ""


def words_for(reply: Reply) -> str:
    """Return what to tell people of an answer that was no success."""
    if 300 <= reply.status < 400:
        host = urlsplit(reply.headers.get("location", "")).hostname
        where = f" to {host}" if host else ""
        return f"HTTP {reply.status}: redirected{where}, where no token is sent; correct the url"
    said = _messages(reply.body)
    kind = error_type(reply.body)
    parts = [f"HTTP {reply.status}", *([kind] if kind else []), *([said] if said else [])]
    return ": ".join(parts)[:_WORDS_MOST]


def _messages(body: bytes) -> str:
    error = _error(body)
    nested = error.get("value")
    found = error.get("messages")
    if found is None and isinstance(nested, dict):
        found = nested.get("messages")
    texts = [message(each) for each in found] if isinstance(found, list) else []
    return "; ".join(text for text in texts if text)


def _error(body: bytes) -> dict[str, Any]:
    try:
        error = json.loads(body)
    except ValueError:
        return {}
    return error if isinstance(error, dict) else {}
