"""The table of `clkeepalived status`: most endangered first, as much of it as fits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from keepalived.cli import words
from keepalived.cli.table import GAP, Cell, Look, cut, cut_middle, plain_rows, row, width_of
from keepalived.lease.words import size

Session = dict[str, Any]

AT_RISK_SHARE = 0.4
LIVE = frozenset({"PENDING", "ACTIVE"})
LOST = frozenset({"EXPIRED", "ERROR", "NOT_FOUND"})

_DIM, _RED, _GREEN, _YELLOW = "2", "31", "32", "33"
_TITLES = ("VCENTER", "SESSION", "ID", "STATE", "SLACK", "PROGRESS", "LAST ANSWER")
_PLAIN_TITLES = ("VCENTER", "KIND", "ID", "STATE", "SLACK", "PROGRESS", "LAST", "LIBRARY/ITEM")
_WIDEST_VCENTER_SHARE = 6
_SLACK_WIDTH, _PROGRESS_WIDTH = 6, 4
_LEAST_NAME, _LEAST_ID, _LEAST_LAST = 12, 7, len("LAST ANSWER")
_BARS = ((140, 12), (100, 8), (70, 4))  # from so many columns on: the length of a bar
_AGO = " ago"
_DOWNLOAD = " (download)"
_LEAST_FOR_AGO = len("ok 12h34m ago")


class Widths(NamedTuple):
    """How many columns each part of a row has; 0 for what is left out."""

    vcenter: int
    name: int
    id: int
    state: int
    slack: int
    progress: int
    last: int


def danger(session: Session) -> tuple[int, float]:
    """Return a key that sorts the most endangered first, and what has ended after what lives."""
    if session["state"] in LIVE:
        return 0, share_left(session)
    rank = (
        1 if session["state"] in LOST else 2 if session["state"] in ("REMOVED", "CANCELED") else 3
    )
    return rank, -words.moment(session["since"])


def share_left(session: Session) -> float:
    """Return which part of its lifetime a session has left; negative when it is overdue."""
    if session["slack"] is None:
        # New: there is a whole lifetime. Unless it has been tried: then nobody knows of any.
        return 0.0 if session["failures"] else 1.0
    share: float = session["slack"] / session["lifetime"]
    return share


def progress_of(session: Session) -> int | None:
    """Return the furthest progress that anybody knows of, in percent."""
    known = [session["progress"], *(hold["progress"] for hold in session["holds"])]
    if session["bytes_total"] and session["bytes_transferred"] is not None:
        known.append(100 * session["bytes_transferred"] // session["bytes_total"])
    return max((each for each in known if each is not None), default=None)


def table(sessions: Sequence[Session], look: Look, rows: int) -> list[str]:
    """Return a table of at most `rows` lines, its title and the count of the rest included."""
    if not sessions:
        return []
    ordered = sorted(sessions, key=danger)
    shown = ordered if len(ordered) < rows else ordered[: max(1, rows - 2)]
    widths = fit(shown, look)
    lines = [row(look, [Cell(title, _DIM) for title in _TITLES], widths)]
    lines += [row(look, _cells(each, look, widths), widths) for each in shown]
    if len(shown) < len(ordered):
        lines.append(look.paint(Cell(cut(_rest(ordered[len(shown) :]), look.columns), _DIM)))
    return lines


def plain(sessions: Sequence[Session]) -> list[str]:
    """Return all sessions, in full, for programs and files."""
    return plain_rows([_PLAIN_TITLES, *map(_fields, sorted(sessions, key=danger))])


def fit(sessions: Sequence[Session], look: Look) -> Widths:
    """Share a terminal's columns out."""
    columns = look.columns
    bar = next((bar for least, bar in _BARS if columns >= least), -1)
    vcenter = max(width_of(words.printable(each["vcenter"])) for each in sessions)
    vcenter = min(max(vcenter, len("VCENTER")), columns // _WIDEST_VCENTER_SHARE)
    state = max(len("STATE"), *(len(each["state"]) for each in sessions))
    widths = {
        "vcenter": vcenter,
        "state": state,
        "slack": bar + 1 + _SLACK_WIDTH,
        "progress": max(len("PROGRESS"), bar + 1 + _PROGRESS_WIDTH),
        "last": _LEAST_LAST,
    }
    room = columns - sum(widths.values()) - GAP * len(widths)
    for dispensable in ("last", "vcenter", "progress"):
        if room < _LEAST_NAME:
            room += widths[dispensable] + GAP
            widths[dispensable] = 0
    room = max(1, room)
    name = min(room, max(len("SESSION"), *(width_of(_name(each)) for each in sessions)))
    spare = room - name
    ids = [len(each["id"]) for each in sessions if words.item_name(each)]
    # Ids tell sessions on one item apart; what is left then says why attempts fail.
    session_id = min(max(ids, default=0), spare - GAP)
    session_id = session_id if session_id >= _LEAST_ID else 0
    if session_id:
        spare -= session_id + GAP
    if widths["last"]:
        widths["last"] += spare
    return Widths(name=name, id=session_id, **widths)


def _cells(session: Session, look: Look, widths: Widths) -> list[Cell]:
    name = _name(session)
    is_id = not words.item_name(session)
    state = session["state"]
    return [
        Cell(words.printable(session["vcenter"])),
        Cell(cut_middle(name, widths.name) if is_id else _cut_name(name, widths.name)),
        Cell("" if is_id else cut_middle(session["id"], widths.id), _DIM),
        Cell(state, _RED if state in LOST else "" if state in LIVE else _DIM),
        _slack_cell(session, look, widths.slack),
        _progress_cell(session, look, widths.progress),
        _last_cell(session, widths.last),
    ]


def _name(session: Session) -> str:
    name = words.item_name(session) or words.printable(session["id"])
    return f"{name}{_DOWNLOAD}" if session["kind"] == "download" else name


def _cut_name(name: str, width: int) -> str:
    """Cut an item's name, and leave the kind of session at its end, if there is room."""
    base = name.removesuffix(_DOWNLOAD)
    if base == name or width <= 2 * len(_DOWNLOAD):
        return cut(name, width)
    return cut(base, width - len(_DOWNLOAD)) + _DOWNLOAD


def _slack_cell(session: Session, look: Look, width: int) -> Cell:
    if session["state"] not in LIVE:
        return Cell("")
    bar = width - 1 - _SLACK_WIDTH
    share, slack = share_left(session), session["slack"]
    text = ("—" if slack is None else words.brief(slack)).rjust(_SLACK_WIDTH)
    style = _GREEN if share >= AT_RISK_SHARE else _YELLOW if share > 0 else _RED
    drawn = "" if bar <= 0 else look.bar(0.0 if slack is None else share, bar) + " "
    return Cell(drawn + text, style)


def _progress_cell(session: Session, look: Look, width: int) -> Cell:
    done = progress_of(session)
    if done is None:
        count = session["bytes_transferred"]
        return Cell("" if count is None else size(count))
    bar = width - 1 - _PROGRESS_WIDTH
    text = f"{done}%".rjust(_PROGRESS_WIDTH)
    return Cell(f"{look.bar(done / 100, bar)} {text}" if look.columns >= _BARS[-1][0] else text)


def _last_cell(session: Session, width: int) -> Cell:
    if session["state"] not in LIVE:
        said = words.ended(session).partition("; ")[2]
        return Cell(said, _RED if session["state"] in LOST else _DIM)
    if not session["outcomes"]:
        return Cell(words.printable(session["last_error"]) or "not asked yet", _DIM)
    newest = session["outcomes"][-1]
    ago = words.brief(max(0.0, time.time() - words.moment(newest["at"])))
    if newest["outcome"] == "ok":
        if worries := _worries(session):
            return worries
        return Cell(f"ok {ago}{_AGO if width >= _LEAST_FOR_AGO else ''}")
    why = words.printable(session["last_error"])
    return Cell(f"{newest['outcome']} {ago} ago{': ' + why if why else ''}", _RED)


def _worries(session: Session) -> Cell | None:
    """Return what is wrong though renewals go well, the gravest alone."""
    for file in session["files"]:
        if file["status"] == "ERROR":
            return Cell(f"file {words.file(file)}", _RED)
    if session["stalled"] is not None:
        return Cell(f"stalled: {words.stalled(session['stalled'])}", _YELLOW)
    if "refused" in {hold["token"] for hold in session["holds"]}:
        return Cell("token refused: lend a fresh one", _YELLOW)
    return None


def _rest(left_out: Sequence[Session]) -> str:
    states = Counter(each["state"] for each in left_out)
    parts = [f"{count:,} {state}" for state, count in states.most_common()]
    slacks = [each["slack"] for each in left_out if each["state"] in LIVE]
    known = [slack for slack in slacks if slack is not None]
    least = f", at least {words.brief(min(known))} left" if known else ""
    return f"… and {len(left_out):,} more: {', '.join(parts)}{least}"


def _fields(session: Session) -> tuple[str, ...]:
    done = progress_of(session)
    outcomes = session["outcomes"]
    is_live = session["state"] in LIVE
    return (
        words.printable(session["vcenter"]),
        session["kind"],
        session["id"],
        session["state"],
        "-" if session["slack"] is None or not is_live else words.brief(session["slack"]),
        "-" if done is None else f"{done}%",
        outcomes[-1]["outcome"] if outcomes else "-",
        words.item_name(session) or "-",
    )
