"""`clkeepalived reload`: have the daemon read its configuration again."""

from __future__ import annotations

import sys

import click

from keepalived.cli import words
from keepalived.cli.bad_configuration import EXIT_BAD_CONFIGURATION
from keepalived.cli.options import socket_option
from keepalived.cli.socket_client import Control, Refused

_ANSWER_SECONDS = 120.0


@click.command()
@socket_option
def reload(control: Control) -> None:
    """Read the configuration again, and say what could not be taken from it.

    A configuration with mistakes changes nothing: they are listed, and the exit code is 78.
    """
    try:
        reply = control.request("POST", "/v1/reload", timeout=_ANSWER_SECONDS)
    except Refused as error:
        if error.problem != "configuration-refused":
            raise
        for each in error.errors:
            click.echo(each, err=True)
        error.show()
        sys.exit(EXIT_BAD_CONFIGURATION)
    for each in reply["refused"]:
        click.echo(f"Warning: not applied: {words.printable(each)}", err=True)
    click.echo("the configuration was read again and is in force")
