"""Build the page's HTML document: the overall verdict first, then the details."""

from __future__ import annotations

from datetime import UTC, datetime

from keepalived.keeper.snapshot import VCenterView
from keepalived.lease.answers import Outcome
from keepalived.lease.text import duration
from keepalived.observe.page.elements import Html, join, tag
from keepalived.observe.page.rows import badge, end_row, held_row
from keepalived.observe.page.view_model import Danger, PageContent, concerns

NO_SCRIPT_SECONDS = 10
"""How often the page reloads if scripts are off."""


def document(page: PageContent) -> Html:
    """Return the whole page."""
    title = f"{_headline(page)} · clkeepalived"
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
    vcenters = (_vcenter(view, page) for view in page.vcenters)
    main = tag(
        "main",
        _verdict(page),
        _sessions(page),
        _ends(page),
        _section("vcenters", "vCenters", tag("ul", *vcenters, class_="rows")),
        _daemon(page),
    )
    # The script shows this while it cannot refresh the page.
    banner = tag("p", id="silence", role="alert", hidden=True)
    paths = ("metrics", "healthz", "readyz")
    links = (join(tag("a", f"/{path}", href=path), " ") for path in paths)
    body = tag("body", banner, main, tag("footer", *links))
    return join(Html("<!doctype html>\n"), tag("html", head, body, lang="en"), Html("\n"))


def _headline(page: PageContent) -> str:
    worst = next(concerns(page), None)
    if worst is not None:
        return worst.text
    return "All is well" if page.total else "Nothing is held"


def _verdict(page: PageContent) -> Html:
    found = list(concerns(page))
    mood = "good" if page.total else "idle"
    if found:
        mood = "bad" if found[0].urgent else "poor"
    rest = [tag("li", concern.text) for concern in found[1:]]
    slacks = [held.slack for held in page.held if held.slack is not None and held.slack >= 0]
    numbers = [
        ("held", page.total, "some"),
        ("at risk", page.counts[Danger.AT_RISK], "poor"),
        ("overdue", page.counts[Danger.OVERDUE], "bad"),
        ("not renewed yet", page.counts[Danger.UNRENEWED], "some"),
        ("stalled", page.stalled, "poor"),
        ("recently lost", page.recently_lost, "bad"),
    ]
    at = datetime.fromtimestamp(page.daemon.wall, UTC)
    stamp = tag("time", f"{at:%H:%M:%S} UTC", datetime=f"{at:%Y-%m-%dT%H:%M:%SZ}")
    nearest = f"The nearest deadline is {duration(min(slacks))} away." if slacks else ""
    return tag(
        "header",
        tag("p", "clkeepalived, as of ", stamp, class_="as-of"),
        tag("div", tag("h1", _headline(page), class_=mood), role="status"),
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


def _sessions(page: PageContent) -> Html:
    if not page.total:
        return _section("sessions", "Sessions", _how_to_hold())
    rest = page.total - len(page.held)
    several = len(page.vcenters) > 1
    rows = (held_row(held, page.now, names_vcenter=several) for held in page.held)
    return _section(
        "sessions",
        "Sessions",
        tag("p", "Sessions at greatest risk first. Open a row for details.", class_="hint"),
        tag("ol", *rows, class_="rows"),
        tag("p", f"{rest:,} more sessions are held, all with more time left.", class_="more")
        if rest
        else "",
    )


def _how_to_hold() -> Html:
    examples = (
        (
            "Run an upload, and keep its sessions alive:",
            "clkeepalived exec -- govc library.import …",
        ),
        ("Hold a session while a script runs:", "clkeepalived hold SESSION_ID --pid $$"),
        ("Or list it in a session file:", "sessions: [{id: SESSION_ID}]"),
    )
    return tag(
        "div",
        tag("p", "No sessions are held. To hold one:"),
        tag("dl", *(tag("div", tag("dt", a), tag("dd", tag("code", b))) for a, b in examples)),
        class_="empty",
    )


def _ends(page: PageContent) -> Html:
    if not page.ends:
        return _section("ends", "Recent ends", tag("p", "No recent ends.", class_="hint"))
    rest = page.ended - len(page.ends)
    return _section(
        "ends",
        "Recent ends",
        tag("ol", *map(end_row, page.ends), class_="rows"),
        tag("p", f"{rest:,} more sessions ended earlier.", class_="more") if rest else "",
    )


def _vcenter(view: VCenterView, page: PageContent) -> Html:
    held = page.held_by_vcenter[view.name]
    state = badge("good", "answers")
    if not view.up:
        is_refused = view.outcome is Outcome.LOGIN_REFUSED
        trouble = "credentials refused" if is_refused else "no answer"
        if view.down_since is not None:
            trouble += f" for {duration(page.now - view.down_since)}"
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


def _daemon(page: PageContent) -> Html:
    daemon = page.daemon
    problems = [
        *daemon.complaints,
        *(f"waiting for {each}" for each in daemon.waiting_for),
        *(f"cannot read all of {each}" for each in daemon.broken_sources),
    ]
    if not daemon.is_configuration_good:
        problems.append("the changed configuration is invalid; the previous one is in force")
    states = [badge("poor", problem) for problem in problems] or [
        badge("good", "schedulers, session sources and configuration are in order")
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
