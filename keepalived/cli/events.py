"""`clkeepalived events`: print events as they happen."""

from __future__ import annotations

import json

import click

from keepalived.cli import text
from keepalived.cli.options import any_vcenter_option, session_argument, socket_option
from keepalived.cli.socket_client import Control, Unreachable


@click.command()
@session_argument(required=False)
@any_vcenter_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line, as the API sends it."
)
@socket_option
def events(session_id: str | None, vcenter: str | None, as_json: bool, control: Control) -> None:
    """Print the events of your sessions until Ctrl-C. Administrators see those of all sessions."""
    query = {"vcenter": vcenter, "id": session_id}
    try:
        for line in control.lines("GET", "/v1/events", query=query):
            click.echo(json.dumps(line) if as_json else _formatted(line))
    except KeyboardInterrupt:
        return
    raise Unreachable(
        f"the daemon at {control.path} ended the stream: it is stopping or restarting"
    )


def _formatted(line: text.JsonObject) -> str:
    where = " ".join(text.printable(line[name]) for name in ("vcenter", "id") if name in line)
    return f"{text.clock_time(line['at'])} {where + ': ' if where else ''}{text.event(line)}"
