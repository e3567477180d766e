"""The page as one document: the verdict first, then its reasons."""

from __future__ import annotations

from datetime import UTC, datetime

from keepalived.keeper.snapshot import VCenterView
from keepalived.lease.answers import Outcome
from keepalived.lease.text import duration
from keepalived.observe.page.elements import Html, join, tag
from keepalived.observe.page.rows import badge, end_row, held_row
from keepalived.observe.page.view_model import Danger, Picture, concerns

NO_SCRIPT_SECONDS = 10
"""How often the page reloads if scripts are off."""


def document(picture: Picture) -> Html:
    """Return the whole page."""
    title = f"{_headline(picture)} · clkeepalived"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", title),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="stylesheet", href="page.css"),
        tag("link", rel="icon", href="page.svg", type="image/svg+xml"),
        tag("script", src="page.js", defer=True),
        tag("noscript", tag("meta", http_equiv="refresh", content=str(NO_SCRIPT_SECONDS))),
    )
    vcenters = (_vcenter(view, picture) for view in picture.vcenters)
    main = tag(
        "main",
        _verdict(picture),
        _sessions(picture),
        _ends(picture),
        _section("vcenters", "vCenters", tag("ul", *vcenters, class_="rows")),
        _daemon(picture),
    )
    # The script shows this while it cannot refresh, so that old data does not look fresh.
    banner = tag("p", id="silence", role="alert", hidden=True)
    paths = ("metrics", "healthz", "readyz")
    links = (join(tag("a", f"/{path}", href=path), " ") for path in paths)
    body = tag("body", banner, main, tag("footer", *links))
    return join(Html("<!doctype html>\n"), tag("html", head, body, lang="en"), Html("\n"))


def _headline(picture: Picture) -> str:
    worst = next(concerns(picture), None)
    if worst is not None:
        return worst.words
    return "All is well" if picture.total else "Nothing is held"


def _verdict(picture: Picture) -> Html:
    found = list(concerns(picture))
    mood = "good" if picture.total else "idle"
    if found:
        mood = "bad" if found[0].urgent else "poor"
    rest = [tag("li", concern.words) for concern in found[1:]]
    slacks = [held.slack for held in picture.held if held.slack is not None and held.slack >= 0]
    numbers = [
        ("held", picture.total, "some"),
        ("at risk", picture.counts[Danger.AT_RISK], "poor"),
        ("overdue", picture.counts[Danger.OVERDUE], "bad"),
        ("not renewed yet", picture.counts[Danger.UNRENEWED], "some"),
        ("stalled", picture.stalled, "poor"),
        ("lost lately", picture.lost_lately, "bad"),
    ]
    at = datetime.fromtimestamp(picture.daemon.wall, UTC)
    stamp = tag("time", f"{at:%H:%M:%S} UTC", datetime=f"{at:%Y-%m-%dT%H:%M:%SZ}")
    nearest = f"The nearest deadline is {duration(min(slacks))} away." if slacks else ""
    return tag(
        "header",
        tag("p", "clkeepalived, as of ", stamp, class_="as-of"),
        tag("div", tag("h1", _headline(picture), class_=mood), role="status"),
        tag("ul", *rest, class_="concerns") if rest else "",
        tag("p", nearest) if nearest else "",
        tag(
            "dl",
            *(
                tag("div", tag("dt", name), tag("dd", f"{n:,}"), class_=mood if n else "none")
                for name, n, mood in numbers
            ),
            class_="numbers",
        ),
    )


def _sessions(picture: Picture) -> Html:
    if not picture.total:
        return _section("sessions", "Sessions", _how_to_hold())
    rest = picture.total - len(picture.held)
    several = len(picture.vcenters) > 1
    rows = (held_row(held, picture.now, names_vcenter=several) for held in picture.held)
    return _section(
        "sessions",
        "Sessions",
        tag("p", "The most endangered first; a row opens, and tells the rest.", class_="hint"),
        tag("ol", *rows, class_="rows"),
        tag("p", f"{rest:,} more are held, all with more time left.", class_="more")
        if rest
        else "",
    )


def _how_to_hold() -> Html:
    examples = (
        ("Run an upload with a keeper of its own:", "clkeepalived exec -- govc library.import …"),
        ("Hold a session while a script runs:", "clkeepalived hold SESSION_ID --pid $$"),
        ("Or name it in a session file:", "sessions: [{id: SESSION_ID}]"),
    )
    return tag(
        "div",
        tag("p", "Nothing is held at present. This is how to hold something:"),
        tag("dl", *(tag("div", tag("dt", a), tag("dd", tag("code", b))) for a, b in examples)),
        class_="empty",
    )


def _ends(picture: Picture) -> Html:
    if not picture.ends:
        return _section("ends", "Recent ends", tag("p", "None that is remembered.", class_="hint"))
    rest = picture.ended - len(picture.ends)
    return _section(
        "ends",
        "Recent ends",
        tag("ol", *map(end_row, picture.ends), class_="rows"),
        tag("p", f"{rest:,} more have ended before.", class_="more") if rest else "",
    )


def _vcenter(view: VCenterView, picture: Picture) -> Html:
    held = picture.held_by_vcenter[view.name]
    state = badge("good", "answers")
    if not view.up:
        is_refused = view.outcome is Outcome.LOGIN_REFUSED
        trouble = "credentials refused" if is_refused else "no answer"
        if view.down_since is not None:
            trouble += f" for {duration(picture.now - view.down_since)}"
        state = badge("bad" if held else "poor", trouble)
    busy = f"{100 * view.utilization:.0f} % busy"
    return tag(
        "li",
        tag("span", state, class_="state"),
        tag("span", tag("b", view.name), class_="name"),
        tag("span", f"{held:,} {'session' if held == 1 else 'sessions'} held", class_="reason"),
        tag(
            "span",
            tag("progress", busy, value=view.utilization, max=1, aria_label="utilisation"),
            tag("small", f"{busy} · {view.in_flight:,} in flight"),
            class_="left",
        ),
        id=f"vcenter/{view.name}",
    )


def _daemon(picture: Picture) -> Html:
    daemon = picture.daemon
    problems = [
        *daemon.complaints,
        *(f"waiting for {each}" for each in daemon.waiting_for),
        *(f"cannot read {each}, or not all of it" for each in daemon.broken_sources),
    ]
    if not daemon.is_configuration_good:
        problems.append("refuses the changed configuration: the old one is in force")
    states = [badge("poor", problem) for problem in problems] or [
        badge("good", "schedules, reads its sources and goes by its configuration")
    ]
    return _section(
        "daemon",
        "The daemon",
        tag("ul", *(tag("li", state) for state in states)),
        tag("p", f"clkeepalived {daemon.version}, running for {duration(daemon.running_for)}"),
    )


def _section(name: str, heading: str, *content: str) -> Html:
    return tag(
        "section",
        tag("h2", heading, id=f"{name}-heading"),
        *content,
        id=name,
        aria_labelledby=f"{name}-heading",
    )
