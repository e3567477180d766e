"""`clkeepalived sessions`: list the open sessions of the daemon's account."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from keepalived.cli import text
from keepalived.cli.options import any_vcenter_option, kind_option, socket_option
from keepalived.cli.socket_client import Control
from keepalived.cli.table import GAP, Cell, OutputFormat, cut, plain_rows, width_of

_ANSWER_SECONDS = 90.0  # the daemon reads sessions for 20 s, after a login and a list
_TITLES = ("STATE", "AGE", "EXPIRES", "BYTES", "HELD BY", "VCENTER", "ID", "LIBRARY/ITEM")


@click.command()
@any_vcenter_option
@kind_option
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the API returns.")
@socket_option
def sessions(vcenter: str | None, kind: str, as_json: bool, control: Control) -> None:
    """List the sessions that the daemon's account has open on vCenter, held or not.

    AGE is how long the daemon has held a session; vCenter does not report when it was opened. A
    session without holds ends when it EXPIRES, unless its uploader is active, and locks its item
    until then. Without administrator rights you see only the sessions that you hold.
    """
    answers = {name: _listed(control, name, kind) for name in _vcenters(control, vcenter)}
    failed = {name: each for name, each in answers.items() if each["outcome"] != "ok"}
    found = [session for each in answers.values() for session in each["sessions"]]
    lines = [json.dumps(answers)] if as_json else _lines(found, OutputFormat.of_stdout())
    click.echo("\n".join(lines))
    for name, each in failed.items():
        detail = text.printable(each["detail"] or each["outcome"])
        click.echo(f"cannot list the sessions of {text.printable(name)}: {detail}", err=True)
    sys.exit(1 if failed else 0)


def _vcenters(control: Control, vcenter: str | None) -> list[str]:
    if vcenter is not None:
        return [vcenter]
    return [each["name"] for each in control.request("GET", "/v1/vcenters")["vcenters"]]


def _listed(control: Control, vcenter: str, kind: str) -> Any:
    path = f"/v1/vcenters/{quote(vcenter, safe=':')}/sessions"
    return control.request("GET", path, query={"kind": kind}, timeout=_ANSWER_SECONDS)


def _lines(found: list[Any], output: OutputFormat) -> Iterator[str]:
    if not output.is_terminal:
        yield from plain_rows([_TITLES, *(_fields(each) for each in found)])
        return
    if not found:
        yield "No session is open."
    for session in found:
        yield from _block(session, output)


def _fields(session: text.JsonObject) -> tuple[str, ...]:
    return (
        session["state"] or "?",
        _age(session),
        "-" if session["expires_in"] is None else text.brief(session["expires_in"]),
        text.transferred(session).replace(" of ", "/").replace(" ", "") or "-",
        ",".join(f"{each['uid']}:{text.printable(each['owner'])}" for each in session["holds"])
        or "-",
        text.printable(session["vcenter"]),
        text.printable(session["id"]),
        text.item_name(session) or "-",
    )


def _block(session: text.JsonObject, output: OutputFormat) -> Iterator[str]:
    """Yield the lines of one session: the id, shown in full, leaves no room for a table row."""
    name = text.item_name(session) or "unreadable item"
    facts = [session["state"] or "state unknown"]
    if session["since"] is not None:
        facts.append(f"held for {_age(session)}")
    if session["expires_in"] is not None:
        facts.append(text.slack_left(session["expires_in"]))
    if transferred := text.transferred(session):
        facts.append(transferred)
    details = f"{text.printable(session['vcenter'])}  {' · '.join(facts)}"
    heading = cut(name, max(output.columns - width_of(details) - GAP, GAP))
    yield f"{output.paint(Cell(heading, '1'))}  {output.paint(Cell(details))}"
    # Never cut, so that it can be copied.
    yield f"  {text.printable(session['id'])}"
    holds = [f"held by {text.holder(each)}" for each in session["holds"]]
    if session["error_message"]:
        holds.append(text.printable(session["error_message"]))
    for line in holds or ["not held here"]:
        style = "" if session["holds"] else "33"
        yield "  " + output.paint(Cell(cut(line, output.columns - GAP), style))


def _age(session: text.JsonObject) -> str:
    if session["since"] is None:
        return "-"
    return text.brief(max(0.0, time.time() - text.moment(session["since"])))
