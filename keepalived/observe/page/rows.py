"""Build the HTML row of one held or ended session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keepalived.lease.answers import FileInfo
from keepalived.lease.holds import Hold, OwnerKind, client_progress
from keepalived.lease.model import State
from keepalived.lease.session import Session
from keepalived.lease.text import duration, size
from keepalived.lease.timing import AT_RISK_SHARE
from keepalived.observe.page.elements import Html, join, tag
from keepalived.observe.page.view_model import Danger, End, Held

_BADGES = {
    Danger.OVERDUE: ("bad", "overdue"),
    Danger.AT_RISK: ("poor", "at risk"),
    Danger.UNRENEWED: ("idle", "not renewed yet"),
    Danger.WELL: ("good", "alive"),
    Danger.SETTLING: ("idle", "settling"),
}
_ENDS = {
    State.DONE: "good",
    State.RELEASED: "idle",
    State.CANCELED: "idle",
    State.REMOVED: "poor",
}
_SIGNS = {"good": "●", "idle": "○", "poor": "▲", "bad": "✖"}
"""A shape for each colour, for readers who cannot tell the colours apart."""

_HOLDERS = {
    OwnerKind.FILE: "an entry in a file",
    OwnerKind.PROCESS: "a process, while it runs",
    OwnerKind.CONNECTION: "a connection, while it is open",
    OwnerKind.TIME_LIMIT: "a time limit, which each progress report extends",
    OwnerKind.COMMAND: "a wrapped command",
    OwnerKind.DISCOVERY: "discovery, while the transfer makes progress",
    OwnerKind.NONE: "no owner, until it is released",
}


def badge(mood: str, label: str) -> Html:
    """Return a label with its colour and sign. `mood` is good, idle, poor or bad."""
    sign = tag("i", _SIGNS[mood], aria_hidden="true")
    return tag("span", sign, tag("span", label), class_=f"badge {mood}")


def held_row(held: Held, now: float, *, names_vcenter: bool) -> Html:
    """Return the row of a held session; it expands to show details."""
    session = held.session
    remarks = []
    if session.tries:
        attempts = "attempt" if session.tries == 1 else "attempts in a row"
        remarks.append(f"{session.tries:,} {attempts} failed: {session.last_error or 'no answer'}")
    if session.still_since is not None:
        remarks.append(f"no bytes received for {duration(now - session.still_since)}")
    mood, label = _BADGES[held.danger]
    if held.danger is Danger.UNRENEWED and session.tries:
        mood = "poor"
    summary = tag(
        "summary",
        tag("span", badge(mood, label), class_="state"),
        tag(
            "span",
            _name(session),
            tag("small", session.key.vcenter) if names_vcenter else "",
            *(tag("small", each, class_="remark") for each in remarks),
            class_="name",
        ),
        tag("span", *_progress(session), class_="progress"),
        tag("span", *_time_left(held), class_="left"),
    )
    return _row(session, summary, _facts(held, now))


def end_row(end: End) -> Html:
    """Return the row of an ended session; it expands to show details."""
    session, ending = end.session, end.session.ending
    reason = ending.reason if ending else ""
    error = ending.error_message if ending else None
    moved = ending.content_moved if ending else None
    arrived = {True: "; the content arrived", False: "; no content arrived", None: ""}[moved]
    summary = tag(
        "summary",
        tag("span", badge(_ENDS.get(session.state, "bad"), session.state.value), class_="state"),
        tag("span", _name(session), class_="name"),
        tag("span", reason + arrived, tag("q", error) if error else "", class_="reason"),
        tag("span", f"{duration(end.ago)} ago", class_="left"),
    )
    return _row(session, summary, _identity(session))


def _row(session: Session, summary: Html, facts: Iterable[tuple[str, Html]]) -> Html:
    key = session.key
    rest = tag("dl", *(tag("div", tag("dt", name), tag("dd", fact)) for name, fact in facts))
    return tag("li", tag("details", summary, rest), id=f"{key.vcenter}/{key.kind}/{key.id}")


def _name(session: Session) -> Html:
    """Return `library/item` if it is known, otherwise the id."""
    if session.item is None:
        return tag("b", tag("code", session.key.id))
    return tag("b", "/".join(filter(None, (session.item.library, session.item.name))), dir="auto")


def _progress(session: Session) -> Iterator[Html]:
    sizes = [file.size for file in session.files if file.size is not None]
    total = sum(sizes) if sizes and len(sizes) == len(session.files) else 0
    arrived = session.transferred
    percent = client_progress(session.holds, arrived)
    if percent is None:
        percent = session.acknowledged
    if percent is None and total:
        percent = min(100 * arrived // total, 100)
    amount = f"{size(arrived)} of {size(total)}" if total else size(arrived) if arrived else ""
    if percent is None:
        yield tag("small", amount or "progress unknown")
        return
    yield tag("progress", f"{percent} %", value=percent, max=100, aria_label="progress")
    yield tag("small", f"{percent} %" + (f" · {amount}" if amount else ""))


def _time_left(held: Held) -> Iterator[Html]:
    if held.slack is None:
        is_settling = held.danger is Danger.SETTLING
        yield tag("small", "ended; checking the content" if is_settling else "time left unknown")
        return
    lifetime, slack = held.session.lifetime, held.slack
    left = f"overdue by {duration(-slack)}" if slack < 0 else f"{duration(slack)} left"
    yield tag(
        "meter",
        left,
        value=round(max(slack, 0.0), 1),
        max=lifetime,
        low=round(AT_RISK_SHARE * lifetime / 2, 1),
        high=round(AT_RISK_SHARE * lifetime, 1),
        optimum=lifetime,
        aria_label="time left",
    )
    yield tag("small", f"{left} of {duration(lifetime)}" if slack >= 0 else left)


def _facts(held: Held, now: float) -> Iterator[tuple[str, Html]]:
    session = held.session
    yield from _identity(session)
    yield "Held for", join(duration(now - session.since))
    wait = session.due - now
    yield "Next keep-alive", join(f"in {duration(wait)}" if wait >= 1 else "under way")
    for hold in session.holds:
        yield "Held by", _hold(hold)


def _identity(session: Session) -> Iterator[tuple[str, Html]]:
    yield "Session", tag("code", session.key.id)
    yield "vCenter", join(f"{session.key.vcenter}, {session.key.kind} session")
    yield "Keep-alives", join(f"{session.renewals:,}")
    for file in session.files:
        yield "File", join(_file(file))


def _hold(hold: Hold) -> Html:
    token = "; its API token is refused" if hold.token and hold.token.refused else ""
    return join(_HOLDERS[hold.owner.kind] + token, tag("q", hold.note) if hold.note else "")


def _file(file: FileInfo) -> str:
    parts = [f"{file.name}: {file.status}", size(file.bytes_transferred)]
    if file.size is not None:
        parts[-1] += f" of {size(file.size)}"
    if file.error_message:
        parts.append(file.error_message)
    return ", ".join(parts)
