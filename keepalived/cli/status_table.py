"""Output of `clkeepalived status`: a summary, a table of sessions, or one session in full.

The table lists the sessions most at risk first, as many as fit.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from keepalived.cli import text
from keepalived.cli.table import GAP, Cell, OutputFormat, cut, cut_middle, plain_rows, row, width_of
from keepalived.lease.text import size

Session = dict[str, Any]

AT_RISK_SHARE = 0.4
LIVE = frozenset({"PENDING", "ACTIVE"})
LOST = frozenset({"EXPIRED", "ERROR"})
_UNKNOWN = "NOT_FOUND"
"""The vCenter did not know the id when it was first renewed: it is mistyped, as a rule."""
_REMOVED = frozenset({"REMOVED", "CANCELED"})

_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_TITLES = ("VCENTER", "SESSION", "ID", "STATE", "SLACK", "PROGRESS", "LAST ANSWER")
_PLAIN_TITLES = ("LIBRARY/ITEM", "VCENTER", "KIND", "STATE", "SLACK", "PROGRESS", "LAST", "ID")
_WIDEST_VCENTER_SHARE = 6
_SLACK_WIDTH, _PROGRESS_WIDTH = 6, 4
_LEAST_NAME, _LEAST_ID, _LEAST_LAST = 12, 7, len("LAST ANSWER")
_BARS = ((140, 12), (100, 8), (70, 4))  # minimum columns of the terminal, length of the bar
_DOWNLOAD = " (download)"
_LEAST_FOR_AGO = len("ok 12h34m ago")


Widths = dict[str, int]
"""The width of each column of a row, in order; 0 for columns that are left out."""


def risk(session: Session) -> tuple[int, float]:
    """Return a sort key: sessions most at risk first, ended ones after live ones."""
    if session["state"] in LIVE:
        return 0, share_left(session)
    rank = 1 if session["state"] in LOST else 2 if session["state"] in _REMOVED else 3
    return rank, -text.moment(session["since"])


def share_left(session: Session) -> float:
    """Return the share of its lifetime that a session has left; negative if overdue."""
    if session["slack"] is None:
        # A new session counts as having its whole lifetime, until the first attempt has failed.
        return 0.0 if session["failures"] else 1.0
    share: float = session["slack"] / session["lifetime"]
    return share


def progress_of(session: Session) -> int | None:
    """Return the furthest known progress, in percent."""
    known = [session["progress"], *(hold["progress"] for hold in session["holds"])]
    if session["bytes_total"] and session["bytes_transferred"] is not None:
        known.append(100 * session["bytes_transferred"] // session["bytes_total"])
    return max((each for each in known if each is not None), default=None)


def summary(found: text.JsonObject, output: OutputFormat, suffix: str = "") -> list[str]:
    """Return the number of sessions held and at risk, and the vCenters that do not answer.

    `suffix` is appended to the first line if there is room.
    """
    live = [session for session in found["sessions"] if session["state"] in LIVE]
    shares = [share_left(session) for session in live if session["slack"] is not None]
    overdue = sum(share < 0 for share in shares)
    at_risk = sum(0 <= share < AT_RISK_SHARE for share in shares)
    lost = sum(session["state"] in LOST for session in found["sessions"])
    held = f"{text.counted(len(live), 'session')} held" if live else "nothing is held"
    parts = [Cell(held, _BOLD)]
    if overdue:
        parts.append(Cell(f"{overdue:,} overdue", _RED))
    if at_risk:
        parts.append(Cell(f"{at_risk:,} at risk", _YELLOW))
    if live and len(parts) == 1:
        parts.append(Cell("none at risk", _GREEN))
    if stalled := sum(session["stalled"] is not None for session in live):
        parts.append(Cell(f"{stalled:,} stalled", _YELLOW))
    if lost:
        parts.append(Cell(f"{lost:,} lost recently", _RED))
    if unknown := sum(session["state"] == _UNKNOWN for session in found["sessions"]):
        parts.append(Cell(f"{unknown:,} unknown to the vCenter", _YELLOW))
    between = " · "
    if suffix and len(between.join(each.text for each in (*parts, Cell(suffix)))) <= output.columns:
        parts.append(Cell(suffix, _DIM))
    lines = [output.paint(Cell(between)).join(output.paint(each) for each in parts)]
    for vcenter in found["vcenters"]:
        if not vcenter["up"]:
            message = f"{text.printable(vcenter['name'])} does not answer"
            lines.append(output.paint(Cell(cut(message, output.columns), _RED)))
    return lines


def table(sessions: Sequence[Session], output: OutputFormat, rows: int) -> list[str]:
    """Return a table of at most `rows` lines, including its title and the count of the rest."""
    if not sessions:
        return []
    ordered = sorted(sessions, key=risk)
    shown = ordered if len(ordered) < rows else ordered[: max(1, rows - 2)]
    widths = fit(shown, output)
    cells = [[Cell(title, _DIM) for title in _TITLES]]
    cells += [_cells(each, output, widths) for each in shown]
    lines = [row(output, each, list(widths.values())) for each in cells]
    if len(shown) < len(ordered):
        lines.append(output.paint(Cell(cut(_omitted(ordered[len(shown) :]), output.columns), _DIM)))
    return lines


def plain(sessions: Sequence[Session]) -> list[str]:
    """Return all sessions, in full, for programs and files."""
    return plain_rows([_PLAIN_TITLES, *map(_fields, sorted(sessions, key=risk))])


def fit(sessions: Sequence[Session], output: OutputFormat) -> Widths:
    """Distribute a terminal's columns over the columns of the table."""
    columns = output.columns
    bar = next((bar for least, bar in _BARS if columns >= least), -1)
    vcenter = max(width_of(text.printable(each["vcenter"])) for each in sessions)
    vcenter = min(max(vcenter, len("VCENTER")), columns // _WIDEST_VCENTER_SHARE)
    widths = {
        "vcenter": vcenter,
        "name": 0,
        "id": 0,
        "state": max(len("STATE"), *(len(each["state"]) for each in sessions)),
        "slack": bar + 1 + _SLACK_WIDTH,
        "progress": max(len("PROGRESS"), bar + 1 + _PROGRESS_WIDTH),
        "last": _LEAST_LAST,
    }
    room = columns - sum(each + GAP for each in widths.values() if each)
    for dispensable in ("last", "vcenter", "progress"):
        if room < _LEAST_NAME:
            room += widths[dispensable] + GAP
            widths[dispensable] = 0
    room = max(1, room)
    name = min(room, max(len("SESSION"), *(width_of(_name(each)) for each in sessions)))
    widths["name"], spare = name, room - name
    ids = [len(each["id"]) for each in sessions if text.item_name(each)]
    # Ids distinguish sessions on one item; the remaining width is for the reasons of failures.
    session_id = min(max(ids, default=0), spare - GAP)
    if session_id >= _LEAST_ID:
        widths["id"] = session_id
        spare -= session_id + GAP
    if widths["last"]:
        widths["last"] += spare
    return widths


def _cells(session: Session, output: OutputFormat, widths: Widths) -> list[Cell]:
    name = _name(session)
    is_id = not text.item_name(session)
    state = session["state"]
    return [
        Cell(text.printable(session["vcenter"])),
        Cell(cut_middle(name, widths["name"]) if is_id else _cut_name(name, widths["name"])),
        Cell("" if is_id else cut_middle(session["id"], widths["id"]), _DIM),
        Cell(state, _RED if state in LOST else "" if state in LIVE else _DIM),
        _slack_cell(session, output, widths["slack"]),
        _progress_cell(session, output, widths["progress"]),
        _last_cell(session, widths["last"]),
    ]


def _name(session: Session) -> str:
    name = text.item_name(session) or text.printable(session["id"])
    return f"{name}{_DOWNLOAD}" if session["kind"] == "download" else name


def _cut_name(name: str, width: int) -> str:
    """Cut an item's name but keep the kind of session at its end, if there is room."""
    base = name.removesuffix(_DOWNLOAD)
    if base == name or width <= 2 * len(_DOWNLOAD):
        return cut(name, width)
    return cut(base, width - len(_DOWNLOAD)) + _DOWNLOAD


def _slack_cell(session: Session, output: OutputFormat, width: int) -> Cell:
    if session["state"] not in LIVE:
        return Cell("")
    bar = width - 1 - _SLACK_WIDTH
    share, slack = share_left(session), session["slack"]
    left = ("—" if slack is None else text.brief(slack)).rjust(_SLACK_WIDTH)
    style = _GREEN if share >= AT_RISK_SHARE else _YELLOW if share > 0 else _RED
    drawn = "" if bar <= 0 else output.bar(0.0 if slack is None else share, bar) + " "
    return Cell(drawn + left, style)


def _progress_cell(session: Session, output: OutputFormat, width: int) -> Cell:
    done = progress_of(session)
    if done is None:
        count = session["bytes_transferred"]
        return Cell("" if count is None else size(count))
    bar = width - 1 - _PROGRESS_WIDTH
    text = f"{done}%".rjust(_PROGRESS_WIDTH)
    return Cell(f"{output.bar(done / 100, bar)} {text}" if output.columns >= _BARS[-1][0] else text)


def _last_cell(session: Session, width: int) -> Cell:
    if session["state"] not in LIVE:
        reason = text.ended(session).partition("; ")[2]
        return Cell(reason, _RED if session["state"] in LOST else _DIM)
    if not session["outcomes"]:
        return Cell(text.printable(session["last_error"]) or "not renewed yet", _DIM)
    newest = session["outcomes"][-1]
    ago = text.brief(max(0.0, time.time() - text.moment(newest["at"])))
    if newest["outcome"] == "ok":
        if problem := _problem(session):
            return problem
        return Cell(f"ok {ago}{' ago' if width >= _LEAST_FOR_AGO else ''}")
    why = text.printable(session["last_error"])
    return Cell(f"{newest['outcome']} {ago} ago{': ' + why if why else ''}", _RED)


def _problem(session: Session) -> Cell | None:
    """Return the most serious problem of a session whose renewals succeed, if any."""
    for file in session["files"]:
        if file["status"] == "ERROR":
            return Cell(f"file {text.file(file)}", _RED)
    if session["stalled"] is not None:
        return Cell(f"stalled: {text.stalled(session['stalled'])}", _YELLOW)
    if "refused" in {hold["token"] for hold in session["holds"]}:
        return Cell("token refused: lend a new one", _YELLOW)
    return None


def _omitted(left_out: Sequence[Session]) -> str:
    states = Counter(each["state"] for each in left_out)
    parts = [f"{count:,} {state}" for state, count in states.most_common()]
    live = [each for each in left_out if each["state"] in LIVE]
    known = [each["slack"] for each in live if each["slack"] is not None]
    least = f", at least {text.brief(min(known))} left" if known else ""
    return f"… and {len(left_out):,} more: {', '.join(parts)}{least}"


def _fields(session: Session) -> tuple[str, ...]:
    done = progress_of(session)
    outcomes = session["outcomes"]
    is_live = session["state"] in LIVE
    return (
        text.item_name(session) or "-",
        text.printable(session["vcenter"]),
        session["kind"],
        session["state"],
        "-" if session["slack"] is None or not is_live else text.brief(session["slack"]),
        "-" if done is None else f"{done}%",
        outcomes[-1]["outcome"] if outcomes else "-",
        session["id"],
    )


def details(session: Session) -> Iterator[str]:
    """Yield all known details of one session."""
    name = text.item_name(session) or session["id"]
    yield f"{name}: {session['kind']} session of {text.printable(session['vcenter'])}"
    yield f"  id           {session['id']}"
    yield f"  state        {text.ended(session)}"
    yield f"  held since   {text.clock_time(session['since'])}"
    if session["deadline"] is not None and session["next_attempt"] is not None:
        deadline = text.clock_time(session["deadline"])
        lifetime = text.brief(session["lifetime"])
        yield f"  deadline     {deadline}, {text.slack_left(session['slack'])} of {lifetime}"
    if session["next_attempt"] is not None:
        yield f"  next renewal {text.clock_time(session['next_attempt'])}"
    yield f"  keep-alives  {session['keep_alives']:,}"
    if session["failures"]:
        count = text.counted(session["failures"], "attempt")
        yield f"  failing      {count} in a row: {text.printable(session['last_error'])}"
    done = progress_of(session)
    known = (f"{done} %" if done is not None else "", text.transferred(session))
    if any(known):
        yield f"  progress     {', '.join(filter(None, known))}"
    if session["stalled"] is not None:
        yield f"  stalled      {text.stalled(session['stalled'])}"
    for file in session["files"]:
        yield f"  file         {text.file(file)}"
    for hold in session["holds"]:
        yield f"  held by      {_hold(hold)}"
    for outcome in reversed(session["outcomes"]):
        yield f"  answered     {text.clock_time(outcome['at'])} {outcome['outcome']}"


def _hold(hold: text.JsonObject) -> str:
    parts = [text.holder(hold)]
    if hold["until"] is not None:
        parts.append(f"until {text.clock_time(hold['until'])} at most")
    if hold["progress"] is not None:
        parts.append(f"{hold['progress']} %")
    if token := text.token(hold):
        parts.append(token)
    if hold["note"]:
        parts.append(f'"{text.printable(hold["note"])}"')
    return ", ".join(parts)
