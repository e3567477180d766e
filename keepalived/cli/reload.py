"""`clkeepalived reload`: tell the daemon to reload its configuration."""

from __future__ import annotations

import click

from keepalived.cli import text
from keepalived.cli.options import refuse_configuration, socket_option
from keepalived.cli.socket_client import Control, RequestRefused

_ANSWER_SECONDS = 120.0


@click.command()
@socket_option
def reload(control: Control) -> None:
    """Read the configuration again, and say what could not be taken from it.

    A configuration with mistakes changes nothing: they are listed, and the exit code is 78.
    """
    try:
        reply = control.request("POST", "/v1/reload", timeout=_ANSWER_SECONDS)
    except RequestRefused as error:
        if error.problem != "configuration-refused":
            raise
        refuse_configuration([*error.errors, f"Error: {error.message}"])
    for each in reply["refused"]:
        click.echo(f"Warning: not applied: {text.printable(each)}", err=True)
    click.echo("the configuration was read again and is in force")
