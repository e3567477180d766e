"""`clkeepalived demo`: see update sessions outlive their lifetime, without a vCenter."""

from __future__ import annotations

import asyncio
import sys

import click


@click.command()
def demo() -> None:
    """Show uploads with and without a keeper, on a simulated vCenter, in half a minute.

    Exits with 0 only if every kept upload arrived, the unkept one was lost, and every end was
    reported as what it was.
    """
    from keepalived.demo.keeper import KeeperFailed
    from keepalived.demo.play import play

    try:
        sys.exit(0 if asyncio.run(play()) else 1)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except KeeperFailed as error:
        click.echo(str(error), err=True)
        sys.exit(1)
