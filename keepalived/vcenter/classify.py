"""From status and body to an outcome: by code and vAPI error type, never by the words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from keepalived.lease.answers import Outcome
from keepalived.settings.problems import printable
from keepalived.vcenter.results import message, read_json
from keepalived.vcenter.transport import Reply

_BY_STATUS = {
    200: Outcome.OK,
    201: Outcome.OK,  # the answer to a login
    204: Outcome.OK,
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
NOT_FOUND = "not_found"
"""The type by which a vCenter itself says that a resource is unknown."""
_ERROR_PREFIX = "com.vmware.vapi.std.errors."
_UNKNOWN_ROUTE = "com.vmware.vapi.rest.httpNotFound"
_HIDDEN = "***"
_WORDS_MOST = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the body of a refusal says, in either dialect's shape; empty where it says nothing.

    `type` is the vAPI error type in lower case.
    """

    type: str = ""
    words: str = ""
    is_unknown_route: bool = False


def outcome_of(reply: Reply) -> Outcome:
    """Return the class of an answer. A 404 is not yet proven to be about a session."""
    status = reply.status
    if 300 <= status < 400:
        return Outcome.REDIRECTED
    if status == 400:
        return _BY_ERROR_TYPE.get(read_refusal(reply.body).type, Outcome.FAILED)
    return _BY_STATUS.get(status, Outcome.FAILED)


def read_refusal(body: bytes) -> Refusal:
    """Read the body of a refusal: JSON of either dialect, plain text, or nothing at all."""
    try:
        error = read_json(body)
    except ValueError:
        return Refusal()
    if not isinstance(error, dict):
        return Refusal()
    nested = error.get("value")
    # `/rest` puts the error itself one level down, and in older releases names its type above.
    inner = nested if isinstance(nested, dict) else {}
    messages = error.get("messages", inner.get("messages"))
    messages = messages if isinstance(messages, list) else []
    return Refusal(
        _error_type(error.get("error_type", inner.get("error_type")), error.get("type")),
        "; ".join(text for text in map(message, messages) if text),
        any(isinstance(each, dict) and each.get("id") == _UNKNOWN_ROUTE for each in messages),
    )


def words_for(reply: Reply, secrets: Iterable[str] = ()) -> str:
    """Return what to tell people of an answer that was no success.

    `secrets` are hidden where the server repeats them.
    """
    if 300 <= reply.status < 400:
        host = _host_of(reply.headers.get("location", ""))
        where = f" to {_hidden(host, secrets)}" if host else ""
        words = f"redirected{where}, where no token is sent; correct the url"
    else:
        said = read_refusal(reply.body)
        words = _hidden(": ".join(part for part in (said.type, said.words) if part), secrets)
    words = f"HTTP {reply.status}: {words}" if words else f"HTTP {reply.status}"
    return printable(words)[:_WORDS_MOST]


def _hidden(text: str, secrets: Iterable[str]) -> str:
    # Types and hosts are told in lower case; a secret in their place is a secret all the same.
    for secret in filter(None, secrets):
        text = _without(secret, text)
    return text


def _without(secret: str, text: str) -> str:
    """Return a text without a secret, in capitals or not.

    By hand: Python keeps the last 512 regular expressions that it was given, and secrets in them.
    """
    sought, folded = secret.casefold(), text.casefold()
    if sought not in folded:
        return text
    # A folded character may be several: which one of the text each of them comes from.
    origins = [place for place, character in enumerate(text) for _ in character.casefold()]
    kept, begin, at = "", 0, 0
    while (found := folded.find(sought, at)) >= 0:
        kept += text[begin : origins[found]] + _HIDDEN
        at = found + len(sought)
        begin = origins[at - 1] + 1
    return kept + text[begin:]


def _error_type(named: Any, typed: Any) -> str:
    for name in (named, typed):
        if isinstance(name, str) and name:
            return name.removeprefix(_ERROR_PREFIX).lower()
    return ""


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
