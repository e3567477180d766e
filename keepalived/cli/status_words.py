"""How things stand, in sentences: above the table, and of one session alone."""

from __future__ import annotations

from collections.abc import Iterator

from keepalived.cli import words
from keepalived.cli.status_table import AT_RISK_SHARE, LIVE, LOST, Session, progress_of, share_left
from keepalived.cli.table import Cell, Look, cut

_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"


def summary(found: words.Said, look: Look, aside: str = "") -> list[str]:
    """Return what matters most: how many are held, how many in danger, who does not answer.

    `aside` stands at the end of the first line, if there is room for it.
    """
    live = [session for session in found["sessions"] if session["state"] in LIVE]
    shares = [share_left(session) for session in live if session["slack"] is not None]
    overdue = sum(share < 0 for share in shares)
    at_risk = sum(0 <= share < AT_RISK_SHARE for share in shares)
    lost = sum(session["state"] in LOST for session in found["sessions"])
    held = f"{words.counted(len(live), 'session')} held" if live else "nothing is held"
    parts = [Cell(held, _BOLD)]
    if overdue:
        parts.append(Cell(f"{overdue:,} overdue", _RED))
    if at_risk:
        parts.append(Cell(f"{at_risk:,} at risk", _YELLOW))
    if live and len(parts) == 1:
        parts.append(Cell("none in danger", _GREEN))
    if stalled := sum(session["stalled"] is not None for session in live):
        parts.append(Cell(f"{stalled:,} stalled", _YELLOW))
    if lost:
        parts.append(Cell(f"{lost:,} lost lately", _RED))
    between = " · "
    if aside and len(between.join(each.text for each in (*parts, Cell(aside)))) <= look.columns:
        parts.append(Cell(aside, _DIM))
    lines = [look.paint(Cell(between)).join(look.paint(each) for each in parts)]
    for vcenter in found["vcenters"]:
        if not vcenter["up"]:
            words_on_it = f"{words.printable(vcenter['name'])} does not answer"
            lines.append(look.paint(Cell(cut(words_on_it, look.columns), _RED)))
    return lines


def details(session: Session) -> Iterator[str]:
    """Yield what there is to know about one session."""
    name = words.item_name(session) or session["id"]
    yield f"{name}: {session['kind']} session of {words.printable(session['vcenter'])}"
    yield f"  id           {session['id']}"
    yield f"  state        {words.ended(session)}"
    yield f"  held since   {words.clock_time(session['since'])}"
    if session["deadline"] is not None and session["next_attempt"] is not None:
        deadline = words.clock_time(session["deadline"])
        lifetime = words.brief(session["lifetime"])
        yield f"  deadline     {deadline}, {words.slack_left(session['slack'])} of {lifetime}"
    if session["next_attempt"] is not None:
        yield f"  next renewal {words.clock_time(session['next_attempt'])}"
    yield f"  keep-alives  {session['keep_alives']:,}"
    if session["failures"]:
        count = words.counted(session["failures"], "attempt")
        yield f"  failing      {count} in a row: {words.printable(session['last_error'])}"
    done = progress_of(session)
    known = (f"{done} %" if done is not None else "", words.transferred(session))
    if any(known):
        yield f"  progress     {', '.join(filter(None, known))}"
    if session["stalled"] is not None:
        yield f"  stalled      {words.stalled(session['stalled'])}"
    for file in session["files"]:
        yield f"  file         {words.file(file)}"
    for hold in session["holds"]:
        yield f"  held by      {_hold(hold)}"
    for outcome in reversed(session["outcomes"]):
        yield f"  answered     {words.clock_time(outcome['at'])} {outcome['outcome']}"


def _hold(hold: words.Said) -> str:
    parts = [words.holder(hold)]
    if hold["until"] is not None:
        parts.append(f"until {words.clock_time(hold['until'])} at most")
    if hold["progress"] is not None:
        parts.append(f"{hold['progress']} %")
    if token := words.token(hold):
        parts.append(token)
    if hold["note"]:
        parts.append(f'"{words.printable(hold["note"])}"')
    return ", ".join(parts)
