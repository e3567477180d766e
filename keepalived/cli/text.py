"""Human-readable texts for durations, sizes, times, names and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from keepalived.lease.text import printable as printable
from keepalived.lease.text import size

JsonObject = Mapping[str, Any]
"""A JSON object in the daemon's answer."""

KEPT = frozenset({"DONE", "RELEASED"})
"""The final states that need no action: the session was not lost."""

LEND_A_NEW_ONE = "lend a new one with `clkeepalived progress ID --token-file FILE`"

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def brief(seconds: float) -> str:
    """Return a duration, in at most six characters if it is below a hundred days."""
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    for large, unit, small, part in _UNITS:
        if whole >= large:
            return f"{sign}{whole // large}{unit}{whole % large // small:02}{part}"
    return f"{sign}{whole}s"


def transferred(data: JsonObject) -> str:
    """Return the bytes on the server and their total; empty if unknown."""
    done, total = data["bytes_transferred"], data["bytes_total"]
    if done is None:
        return ""
    return size(done) if total is None else f"{size(done)} of {size(total)}"


def moment(stamp: str) -> float:
    """Convert a timestamp of the daemon to seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


def clock_time(stamp: str) -> str:
    """Return the local time of day, with the date unless it is today."""
    when = time.localtime(moment(stamp))
    is_today = when[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S", when)


def item_name(data: JsonObject) -> str:
    """Return `library/item`, as far as known."""
    parts = (data.get("library"), data.get("item"))
    return printable("/".join(each for each in parts if each))


def counted(number: int, noun: str) -> str:
    """Return a number and its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def holder(hold: JsonObject) -> str:
    """Return a hold's user and its owner."""
    return f"{user(hold['uid'])}, {owner(hold['owner'])}"


def user(uid: int) -> str:
    """Return a user's name, or the uid if it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def owner(label: str) -> str:
    """Return a description of a hold's owner."""
    kind, _, rest = printable(label).partition(":")
    if kind == "ttl":
        return f"until {brief(float(rest))} after the last progress report"
    descriptions = {
        "pid": f"until process {rest} ends",
        "connection": "while connected",
        "file": f"while listed in {rest}",
        "discovery": "discovered, while its transfer moves",
        "none": "until released",
    }
    return descriptions.get(kind, printable(label))


def event(data: JsonObject) -> str:
    """Return a description of an event, without its session and time."""
    describe = _EVENTS.get(data["event"])
    return describe(data) if describe else printable(data["event"]).replace("_", " ")


def ended(data: JsonObject) -> str:
    """Return what a session ended as, and whether its content arrived."""
    parts = [str(data["state"])]
    for reason in (data.get("reason"), data.get("error_message")):
        if reason and reason not in parts:
            parts.append(printable(reason))
    if data.get("content_moved") is not None:
        parts.append("the content arrived" if data["content_moved"] else "no content arrived")
    return "; ".join(parts)


def slack_left(slack: float | None) -> str:
    """Return a description of the time left until the deadline."""
    if slack is None:
        return "not renewed yet"
    return f"overdue by {brief(-slack)}" if slack < 0 else f"{brief(slack)} left"


def stalled(seconds: float) -> str:
    """Return a note that an upload has not moved for `seconds`."""
    return f"no bytes for {brief(seconds)}"


def file(data: JsonObject) -> str:
    """Return the state of one file of a session."""
    parts = [f"{printable(data['name'])}: {printable(data['status'])}"]
    if data["source_type"] != "PUSH":
        parts.append(printable(data["source_type"]))
    done, total = data["bytes_transferred"], data["size"]
    parts.append(size(done) if total is None else f"{size(done)} of {size(total)}")
    if data["error_message"]:
        parts.append(printable(data["error_message"]))
    return ", ".join(parts)


def token(hold: JsonObject) -> str:
    """Return the state of a hold's API token; empty if it has none."""
    state = hold["token"]
    if state == "refused":
        is_configured = hold["owner"].startswith("file:")
        remedy = "write a new one to its token_file" if is_configured else LEND_A_NEW_ONE
        return f"its API token was refused: {remedy}"
    return "API token lent" if state else ""


def _renewed(data: JsonObject) -> str:
    text = "renewed"
    if data.get("first"):
        text += " for the first time"
    elif data.get("slack") is not None:
        text += f" with {slack_left(data['slack'])}"
    return text if data.get("progress") is None else f"{text} ({data['progress']} %)"


def _not_renewed(data: JsonObject) -> str:
    why = printable(data.get("detail") or data["outcome"])
    retry = f"next attempt in {brief(data['retry_in'])}"
    return f"not renewed: {why}; {retry}; {slack_left(data.get('slack'))}"


def _held_by(data: JsonObject) -> str:
    return f"{user(data['uid'])} ({printable(data['owner'])})"


_EVENTS: dict[str, Callable[[JsonObject], str]] = {
    "stream_started": lambda data: "listening",
    "hold_taken": lambda data: f"held by {_held_by(data)}",
    "hold_released": lambda data: f"released by {_held_by(data)}",
    "renewed": _renewed,
    "renewal_failed": _not_renewed,
    "lifetime_learned": lambda data: f"expires after {brief(data['lifetime'])} without activity",
    "renewal_without_effect": lambda data: (
        "renewed, but expiration_time does not move: does something else answer for the vCenter?"
    ),
    "file_failed": lambda data: (
        f"file {printable(data.get('file', ''))} failed: {printable(data.get('error_message', ''))}"
    ),
    "session_stalled": lambda data: stalled(data["idle"]),
    "session_moving": lambda data: "bytes are moving again",
    "token_refused": lambda data: (
        f"the lent API token was refused: {LEND_A_NEW_ONE}; "
        + ("renewed with other credentials until then" if data["fallback"] else "not renewed")
    ),
    "session_ended": lambda data: f"ended: {ended(data)}",
    "vcenter_down": lambda data: f"does not answer: {printable(data.get('detail', ''))}",
    "vcenter_up": lambda data: f"answers again, after {brief(data['down_seconds'])}",
    "events_lost": lambda data: (
        f"{counted(data['count'], 'event')} missed: this reader is too slow"
    ),
    "login": lambda data: f"login: {printable(data.get('outcome', ''))}",
    "source_failed": lambda data: (
        f"{counted(data['count'], 'problem')} in {printable(data['source'])}: see the daemon's log"
    ),
    "source_recovered": lambda data: f"{printable(data['source'])} is valid again",
}
