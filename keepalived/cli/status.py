"""`clkeepalived status`: show the held sessions and those at risk."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from keepalived.cli import text
from keepalived.cli.options import (
    THE_ONLY_VCENTER,
    any_vcenter_option,
    kind_option,
    session_argument,
    socket_option,
)
from keepalived.cli.socket_client import Control, session_path
from keepalived.cli.table import OutputFormat

_PROMPT_ROWS = 2
_LEAST_ROWS = 5


@click.command()
@session_argument(required=False)
@any_vcenter_option
@kind_option
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the API returns.")
@click.option("--watch", is_flag=True, help="Refresh every second until q or Ctrl-C.")
@click.option("--idle", is_flag=True, help="Exit with 0 if no session is held, else with 1.")
@socket_option
def status(
    session_id: str | None,
    vcenter: str | None,
    kind: str,
    as_json: bool,
    watch: bool,
    idle: bool,
    control: Control,
) -> None:
    """Show the held sessions, those most at risk first, or all details of one session.

    On a terminal, prints as many as fit; elsewhere all of them, in full.

    \b
    clkeepalived status --idle && reboot       reboot only if no session is held
    """
    if (session_id is not None) + as_json + watch + idle > 1 and not (as_json and session_id):
        raise click.UsageError("--json, --watch, --idle and ID cannot be combined")
    if idle:
        sys.exit(_report_idle(control, vcenter))
    output = OutputFormat.of_stdout()
    if watch:
        _watch(control, vcenter, output)
        return
    if session_id is not None:
        path = session_path(vcenter or THE_ONLY_VCENTER, session_id)
        found = control.request("GET", path, query={"kind": kind})
    else:
        found = read(control, vcenter)
    if as_json:
        click.echo(json.dumps(found))
    elif session_id is not None:
        from keepalived.cli import status_table

        click.echo("\n".join(status_table.details(found)))
    else:
        rows = max(_LEAST_ROWS, output.rows - _PROMPT_ROWS)
        click.echo("\n".join(page(found, output, rows)))


def read(control: Control, vcenter: str | None) -> dict[str, Any]:
    """Return the daemon's state with the sessions of one vCenter, or of all."""
    found = _status(control, vcenter)
    query = {"vcenter": vcenter}
    found["sessions"] = control.request("GET", "/v1/sessions", query=query)["sessions"]
    return found


def page(found: dict[str, Any], output: OutputFormat, rows: int, suffix: str = "") -> list[str]:
    """Return a summary and a table, of at most `rows` lines on a terminal."""
    from keepalived.cli import status_table

    if not output.is_terminal:
        return status_table.plain(found["sessions"])
    lines = status_table.summary(found, output, suffix)
    if not found["sessions"]:
        return [*lines, "hold a session with: clkeepalived hold ID --pid $$"]
    return [*lines, *status_table.table(found["sessions"], output, rows - len(lines))]


def _status(control: Control, vcenter: str | None) -> dict[str, Any]:
    """Return the counts and the chosen vCenters. Raises UsageError for an unknown one."""
    found: dict[str, Any] = control.request("GET", "/v1/status")
    if vcenter is None:
        return found
    meant = [each for each in found["vcenters"] if each["name"] == vcenter]
    if not meant:
        names = ", ".join(text.printable(each["name"]) for each in found["vcenters"])
        raise click.UsageError(
            f"no vCenter named {vcenter!r} is configured; configured: {names or 'none'}"
        )
    return {**found, "vcenters": meant, "held": meant[0]["sessions"]}


def _report_idle(control: Control, vcenter: str | None) -> int:
    found = _status(control, vcenter)
    if found["held"]:
        click.echo(f"{text.counted(found['held'], 'session')} held")
        return 1
    if not found["is_admin"]:
        raise click.ClickException(
            "you hold no session, but you may not see those of other users: run this as root, as "
            "the daemon's user or as a member of control.admin_group"
        )
    click.echo("nothing is held")
    return 0


def _watch(control: Control, vcenter: str | None, output: OutputFormat) -> None:
    if not (output.is_terminal and sys.stdin.isatty()):
        raise click.UsageError("--watch needs a terminal; use `status --json` in programs")
    from keepalived.cli.screen import watch_screen

    def draw() -> list[str]:
        now = OutputFormat.of_stdout()
        suffix = f"{time.strftime('%H:%M:%S')}, q quits"
        return page(read(control, vcenter), now, rows=now.rows, suffix=suffix)

    watch_screen(draw)
