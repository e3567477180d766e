"""Human-readable texts for durations, sizes, times, names and events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from keepalived.lease.text import printable as printable
from keepalived.lease.text import size

Said = Mapping[str, Any]
"""A JSON object of the daemon's answer."""

KEPT = frozenset({"DONE", "RELEASED"})
"""The final states that need no action: the session was not lost."""

LEND_A_FRESH_ONE = "lend a fresh one with `clkeepalived progress ID --token-file FILE`"

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def brief(seconds: float) -> str:
    """Return a duration, in at most six characters if it is below a hundred days."""
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    for large, unit, small, part in _UNITS:
        if whole >= large:
            return f"{sign}{whole // large}{unit}{whole % large // small:02}{part}"
    return f"{sign}{whole}s"


def transferred(said: Said) -> str:
    """Return the bytes on the server and their total; empty if unknown."""
    done, total = said["bytes_transferred"], said["bytes_total"]
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


def item_name(said: Said) -> str:
    """Return `library/item`, as far as known."""
    parts = (said.get("library"), said.get("item"))
    return printable("/".join(each for each in parts if each))


def counted(number: int, noun: str) -> str:
    """Return a number and its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def holder(hold: Said) -> str:
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
        return f"for {brief(float(rest))} after each word of progress"
    words = {
        "pid": f"while process {rest} lives",
        "connection": "while connected",
        "file": f"in {rest}",
        "discovery": "discovered: while it moves",
        "none": "until released",
    }
    return words.get(kind, printable(label))


def event(said: Said) -> str:
    """Return a description of an event, without its session and time."""
    words = _EVENTS.get(said["event"])
    return words(said) if words else printable(said["event"]).replace("_", " ")


def ended(said: Said) -> str:
    """Return what a session ended as, and whether its content arrived."""
    parts = [str(said["state"])]
    for word in (said.get("reason"), said.get("error_message")):
        if word and word not in parts:
            parts.append(printable(word))
    if said.get("content_moved") is not None:
        parts.append("the content arrived" if said["content_moved"] else "no content arrived")
    return "; ".join(parts)


def slack_left(slack: float | None) -> str:
    """Return the time left until the deadline, in words."""
    if slack is None:
        return "never renewed so far"
    return f"overdue by {brief(-slack)}" if slack < 0 else f"{brief(slack)} left"


def stalled(seconds: float) -> str:
    """Return a note that an upload has not moved for `seconds`."""
    return f"no bytes for {brief(seconds)}"


def file(said: Said) -> str:
    """Return the state of one file of a session."""
    parts = [f"{printable(said['name'])}: {printable(said['status'])}"]
    if said["source_type"] != "PUSH":
        parts.append(printable(said["source_type"]))
    done, total = said["bytes_transferred"], said["size"]
    parts.append(size(done) if total is None else f"{size(done)} of {size(total)}")
    if said["error_message"]:
        parts.append(printable(said["error_message"]))
    return ", ".join(parts)


def token(hold: Said) -> str:
    """Return the state of a hold's API token; empty if it has none."""
    state = hold["token"]
    if state == "refused":
        is_configured = hold["owner"].startswith("file:")
        cure = "write a fresh one to its token_file" if is_configured else LEND_A_FRESH_ONE
        return f"its API token is refused: {cure}"
    return "its API token is lent" if state else ""


def _renewed(said: Said) -> str:
    words = "renewed"
    if said.get("first"):
        words += " for the first time"
    elif said.get("slack") is not None:
        words += f" with {slack_left(said['slack'])}"
    return words if said.get("progress") is None else f"{words} ({said['progress']} %)"


def _not_renewed(said: Said) -> str:
    why = printable(said.get("detail") or said["outcome"])
    words = f"not renewed: {why}; next attempt in {brief(said['retry_in'])}"
    return f"{words}; {slack_left(said.get('slack'))}"


def _held_by(said: Said) -> str:
    return f"{user(said['uid'])} ({printable(said['owner'])})"


_EVENTS: dict[str, Callable[[Said], str]] = {
    "stream_started": lambda said: "listening",
    "hold_taken": lambda said: f"held by {_held_by(said)}",
    "hold_released": lambda said: f"let go by {_held_by(said)}",
    "renewed": _renewed,
    "renewal_failed": _not_renewed,
    "lifetime_learned": lambda said: f"lives {brief(said['lifetime'])} without activity",
    "renewal_without_effect": lambda said: (
        "renewed, but its expiration stands still: something may answer in the vCenter's place"
    ),
    "file_failed": lambda said: (
        f"file {printable(said.get('file', ''))} failed: {printable(said.get('error_message', ''))}"
    ),
    "session_stalled": lambda said: stalled(said["idle"]),
    "session_moving": lambda said: "bytes are moving again",
    "token_refused": lambda said: (
        f"the API token that was lent is refused: {LEND_A_FRESH_ONE}; "
        + ("meanwhile renewed otherwise" if said["fallback"] else "nothing else renews it")
    ),
    "session_ended": lambda said: f"ended: {ended(said)}",
    "vcenter_down": lambda said: f"does not answer: {printable(said.get('detail', ''))}",
    "vcenter_up": lambda said: f"answers again, after {brief(said['down_seconds'])}",
    "events_lost": lambda said: (
        f"{counted(said['count'], 'event')} missing: this reader was too slow"
    ),
    "login": lambda said: f"login: {printable(said.get('outcome', ''))}",
    "source_failed": lambda said: (
        f"{counted(said['count'], 'problem')} in {printable(said['source'])}: see the daemon's log"
    ),
    "source_recovered": lambda said: f"{printable(said['source'])} is good again",
}
