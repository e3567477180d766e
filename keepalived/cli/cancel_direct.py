"""Cancel a session without a daemon, with requests straight to the vCenter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import click

from keepalived.cli import text
from keepalived.cli.one_vcenter import choose, load
from keepalived.host.clock import SystemClock
from keepalived.lease.answers import Answer, Outcome, SessionInfo
from keepalived.lease.model import Kind
from keepalived.vcenter.client import Client
from keepalived.vcenter.connect import connect

_SECONDS = 20.0

ValueT = TypeVar("ValueT")


def cancel_direct(
    session_id: str, vcenter: str | None, kind: Kind, config: Path | None, *, ask: bool
) -> None:
    """Cancel a session with the credentials of the configuration, after asking.

    Exits with 1 if the session is not cancelled, and with 78 for a bad configuration.
    """
    name, settings = choose(vcenter, load(config))

    if ask:
        # A new login: the first may expire while the user thinks about the answer.
        client = connect(name, settings, SystemClock())
        found = asyncio.run(_send(client, client.get(kind, session_id, timeout=_SECONDS)))
        click.echo(_describe(name, found))
        click.confirm(f"Cancel {session_id} on the server?", abort=True)
    client = connect(name, settings, SystemClock())
    answer = asyncio.run(_send(client, client.cancel(kind, session_id, timeout=_SECONDS)))
    if answer.outcome is not Outcome.OK:
        click.echo(f"not cancelled: {_reason(answer)}", err=True)
        sys.exit(1)
    click.echo(f"cancelled {session_id}")


async def _send(client: Client, request: Awaitable[Answer[ValueT]]) -> Answer[ValueT]:
    try:
        return await request
    finally:
        await client.close(timeout=_SECONDS)


def _describe(name: str, answer: Answer[SessionInfo]) -> str:
    """Return a description of a session for the confirmation prompt."""
    if answer.value is None:
        raise click.ClickException(f"{name}: {_reason(answer)}")
    state = f"its state on {name} is {text.printable(answer.value.state)}"
    progress = answer.value.client_progress
    return state if progress is None else f"{state}, {progress} % done"


def _reason(answer: Answer[SessionInfo] | Answer[None]) -> str:
    return text.printable(answer.detail or answer.outcome.value)
