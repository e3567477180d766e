"""`clkeepalived reload`: reload the daemon's configuration."""

from __future__ import annotations

import click

from keepalived.cli import text
from keepalived.cli.options import refuse_configuration, socket_option
from keepalived.cli.socket_client import Control, RequestRefused

_ANSWER_SECONDS = 120.0


@click.command()
@socket_option
def reload(control: Control) -> None:
    """Reload the daemon's configuration and print the changes that were not applied.

    A configuration with errors changes nothing: the errors are printed, and the exit code is 78.
    """
    try:
        reply = control.request("POST", "/v1/reload", timeout=_ANSWER_SECONDS)
    except RequestRefused as error:
        if error.problem != "configuration-refused":
            raise
        refuse_configuration([*error.errors, f"Error: {error.message}"])
    for each in reply["refused"]:
        click.echo(f"Warning: not applied: {text.printable(each)}", err=True)
    click.echo("the configuration was reloaded")
