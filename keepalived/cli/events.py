"""`clkeepalived events`: what happens, as it happens."""

from __future__ import annotations

import json

import click

from keepalived.cli import text
from keepalived.cli.options import any_vcenter_option, session_argument, socket_option
from keepalived.cli.socket_client import Control, Unreachable


@click.command()
@session_argument(required=False)
@any_vcenter_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as the API says it.")
@socket_option
def events(session_id: str | None, vcenter: str | None, as_json: bool, control: Control) -> None:
    """Say what happens to your sessions (as an administrator: to all of them) until Ctrl-C."""
    query = {"vcenter": vcenter, "id": session_id}
    try:
        for line in control.lines("GET", "/v1/events", query=query):
            click.echo(json.dumps(line) if as_json else _words(line))
    except KeyboardInterrupt:
        return
    raise Unreachable(f"the daemon behind {control.path} ended the stream: it stops, or restarts")


def _words(line: text.Said) -> str:
    where = " ".join(text.printable(line[name]) for name in ("vcenter", "id") if name in line)
    told = text.event(line)
    return f"{text.clock_time(line['at'])} {where + ': ' if where else ''}{told}"
