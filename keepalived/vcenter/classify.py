"""Classifies answers by status code and vAPI error type, and describes errors for logs.

Message texts are for people: no decision depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from keepalived.lease.answers import Outcome
from keepalived.settings.problems import printable
from keepalived.vcenter.hiding import NO_SECRETS, Secrets
from keepalived.vcenter.parsing import JSON_MOST, FormError, message, read_json
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
NOT_FOUND = "not_found"
"""The error type with which a vCenter itself reports an unknown resource."""
_ERROR_PREFIX = "com.vmware.vapi.std.errors."
_UNKNOWN_ROUTE = "com.vmware.vapi.rest.httpNotFound"
_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Refusal:
    """The error in a refusal's body, in either dialect; empty if there is none.

    `type` is the vAPI error type in lower case.
    """

    type: str = ""
    message: str = ""
    is_unknown_route: bool = False


def outcome_of(reply: Reply) -> Outcome:
    """Return the outcome of an answer. A 404 may concern the session or the route."""
    status = reply.status
    if 200 <= status < 300:
        return Outcome.OK  # whether the body is readable is checked later
    if 300 <= status < 400:
        return Outcome.REDIRECTED
    if status == 400:
        return _BY_ERROR_TYPE.get(read_refusal(reply.body).type, Outcome.FAILED)
    return _BY_STATUS.get(status, Outcome.FAILED)


def read_refusal(body: bytes, secrets: Secrets = NO_SECRETS) -> Refusal:
    """Read the error in the body of a refusal, which may be JSON of either dialect.

    Any other body, or one longer than JSON_MOST, counts as empty.
    """
    try:
        error = read_json(body, secrets)
    except ValueError:
        error = None
    if not isinstance(error, dict):
        return Refusal()
    nested = error.get("value")
    # `/rest` nests the error in `value`; older releases put its type next to that.
    inner = nested if isinstance(nested, dict) else {}
    messages = error.get("messages", inner.get("messages"))
    messages = messages if isinstance(messages, list) else []
    types = (error.get("error_type", inner.get("error_type")), error.get("type"))
    named = next((each for each in types if isinstance(each, str) and each), "")
    return Refusal(
        named.removeprefix(_ERROR_PREFIX).lower(),
        "; ".join(text for text in map(message, messages) if text),
        any(isinstance(each, dict) and each.get("id") == _UNKNOWN_ROUTE for each in messages),
    )


def describe_error(reply: Reply, secrets: Secrets = NO_SECRETS) -> str:
    """Describe an answer that is not a success, without the `secrets`."""
    if 300 <= reply.status < 400:
        host = _host_of(reply.headers.get("location", ""))
        where = f" to {secrets.hide(host)}" if host else ""
        reason = f"redirected{where}, which is not followed; correct the url"
    else:
        refusal = read_refusal(reply.body, secrets)
        reason = ": ".join(part for part in (refusal.type, refusal.message) if part)
    text = f"HTTP {reply.status}: {reason}" if reason else f"HTTP {reply.status}"
    return printable(text)[:_LONGEST_MESSAGE]


def refusal_message(reply: Reply, secrets: Secrets) -> str:
    """Return the server's message, without the `secrets`; empty if there is none."""
    text = read_refusal(reply.body, secrets).message
    is_plain = reply.headers.get("content-type", "").startswith("text/plain")
    if not text and is_plain:
        text = secrets.hide(reply.body[:JSON_MOST].decode("utf-8", "replace").strip())
    return printable(text)[:_LONGEST_MESSAGE]


def describe_unreadable(reply: Reply, error: FormError, secrets: Secrets = NO_SECRETS) -> str:
    """Describe a success whose body cannot come from a vCenter."""
    kind = secrets.hide(reply.headers.get("content-type", "")).partition(";")[0].strip()
    named = f" ({kind})" if kind else ""
    text = f"the answer cannot be read: {error}{named}; something answers in the vCenter's place"
    return printable(text)[:_LONGEST_MESSAGE]


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
