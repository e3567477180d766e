"""`clkeepalived cancel`: end a session on the server."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from keepalived.cli import text
from keepalived.cli.options import THE_ONLY_VCENTER, config_option, session_options, socket_option
from keepalived.cli.socket_client import Control, RequestRefused, session_path
from keepalived.lease.model import Kind

_ANSWER_SECONDS = 60.0


@click.command()
@session_options
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--force", is_flag=True, help="Cancel even if other users hold the session.")
@click.option(
    "--direct",
    is_flag=True,
    help="Use the vCenter directly, with your credentials, not the daemon.",
)
@config_option(
    "With --direct: the configuration file. Default: the GOVC_* variables if GOVC_URL is set, else "
    "/etc/clkeepalived/config.yaml."
)
@socket_option
def cancel(
    session_id: str,
    vcenter: str,
    kind: str,
    yes: bool,
    force: bool,
    direct: bool,
    config: Path | None,
    control: Control,
) -> None:
    """Cancel a session on the server, after confirmation. Its uploaded content is lost.

    A session that other users also hold is cancelled only with --force. Through the daemon, only
    root, the daemon's user and members of control.admin_group may cancel sessions; with --direct,
    vCenter decides.
    """
    if direct:
        from keepalived.cli.cancel_direct import cancel_direct

        name = None if vcenter == THE_ONLY_VCENTER else vcenter
        cancel_direct(session_id, name, Kind(kind), config, ask=not yes)
        return
    path = session_path(vcenter, session_id)
    if not yes:
        click.echo("\n".join(_known(control, path, kind)))
        click.confirm(f"Cancel {session_id} on the server?", abort=True)
    try:
        reply = control.request(
            "POST", f"{path}/cancel", query={"kind": kind, "force": force}, timeout=_ANSWER_SECONDS
        )
    except RequestRefused as error:
        if error.problem != "held-by-others":
            raise
        holders = ", ".join(error.candidates)
        raise click.ClickException(
            f"{session_id} is also held by others ({holders}); ask them before you use --force"
        ) from error
    if reply["outcome"] != "ok":
        detail = text.printable(reply["detail"] or reply["outcome"])
        click.echo(f"not cancelled: {detail}", err=True)
        sys.exit(1)
    click.echo(f"cancelled {session_id}")


def _known(control: Control, path: str, kind: str) -> list[str]:
    """Return lines that describe a session as the daemon knows it, for the confirmation prompt."""
    try:
        session = control.request("GET", path, query={"kind": kind})
    except RequestRefused as error:
        if error.problem != "no-such-session":
            raise
        return ["This daemon does not hold it."]
    name = text.item_name(session) or session["id"]
    lines = [f"{name} of {text.printable(session['vcenter'])}: {session['state']}"]
    if transferred := text.transferred(session):
        lines.append(f"  {transferred} transferred")
    lines += [f"  held by {text.holder(each)}" for each in session["holds"]]
    return lines
