"""`clkeepalived renew`: send a keep-alive at once."""

from __future__ import annotations

import sys

import click

from keepalived.cli import text
from keepalived.cli.options import session_options, socket_option
from keepalived.cli.socket_client import Control, session_path

# A request to vCenter may take a third of the time left, and a login may precede it.
_ANSWER_SECONDS = 300.0


@click.command()
@session_options
@socket_option
def renew(session_id: str, vcenter: str, kind: str, control: Control) -> None:
    """Send a keep-alive for a session now and print vCenter's answer.

    Exits with 0 if the session was renewed, else with 1.
    """
    path = f"{session_path(vcenter, session_id)}/keep-alive"
    reply = control.request("POST", path, query={"kind": kind}, timeout=_ANSWER_SECONDS)
    if reply["outcome"] == "ok":
        click.echo(f"renewed; {text.slack_left(reply['session']['slack'])}")
        return
    detail = text.printable(reply["detail"] or reply["outcome"])
    click.echo(f"not renewed: {detail}; {text.slack_left(reply['session']['slack'])}", err=True)
    sys.exit(1)
