"""`clkeepalived demo`: uploads with and without keep-alives, on a simulated vCenter."""

from __future__ import annotations

import asyncio
import errno
import sys

import click

from keepalived.cli.interruption import interruptions


@click.command()
def demo() -> None:
    """Show uploads with and without keep-alives, on a simulated vCenter, in half a minute.

    Exits with 0 only if every kept upload arrived, the unkept one was lost, and every end was
    reported correctly.
    """
    from keepalived.demo.keeper import KeeperFailed

    code, is_unread = 1, False
    try:
        code = asyncio.run(_play())
    except* KeeperFailed as failures:
        for failure in failures.exceptions:
            click.echo(str(failure), err=True)
    except* BrokenPipeError:
        is_unread = True
    if is_unread:
        # click exits quietly on EPIPE: the reader of the output closed the pipe.
        raise BrokenPipeError(errno.EPIPE, "the reader closed the pipe")
    sys.exit(code)


async def _play() -> int:
    """Run the demo to its end or to a signal; clean up before the signal ends the process."""
    from keepalived.demo.play import play

    playing = asyncio.create_task(play(), name="play")
    with interruptions(playing.cancel) as received:
        try:
            return 0 if await playing else 1
        except asyncio.CancelledError:
            if not received:
                raise
            click.echo("interrupted", err=True)
            return 128 + received[0]
