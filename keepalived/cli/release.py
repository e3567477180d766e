"""`clkeepalived release`: release a hold."""

from __future__ import annotations

import click

from keepalived.cli import text
from keepalived.cli.options import owner_option, session_options, socket_option
from keepalived.cli.socket_client import Control, session_path


@click.command()
@session_options
@owner_option
@click.option(
    "--uid", type=click.IntRange(min=0), help="The user whose hold to release. For administrators."
)
@socket_option
def release(
    session_id: str, vcenter: str, kind: str, owner: str | None, uid: int | None, control: Control
) -> None:
    """Release a hold. It no longer renews the session, which is not cancelled on the server."""
    query = {"kind": kind, "owner": owner, "uid": uid}
    reply = control.request("DELETE", session_path(vcenter, session_id), query=query)
    if reply["recorded"]:
        click.echo(text.printable(reply["detail"]))
    else:
        click.echo(f"Warning: {text.printable(reply['detail'])}", err=True)
