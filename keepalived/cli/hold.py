"""`clkeepalived hold`: have the daemon keep a session alive."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from keepalived.cli import text
from keepalived.cli.lending import token_options, token_reader
from keepalived.cli.options import session_options, socket_option
from keepalived.cli.socket_client import Control, session_path

_NOT_NEGATIVE = click.IntRange(min=0)
_FIRST_ANSWER_SECONDS, _PAUSE_SECONDS = 2.0, 0.1


@click.command()
@session_options
@click.option("--pid", type=click.IntRange(min=1), help="Hold until this process ends.")
@click.option("--ttl", metavar="DURATION", help="Hold for this long after each progress report.")
@click.option("--while-connected", is_flag=True, help="Hold while this command runs.")
@click.option("--no-owner", is_flag=True, help="Hold until released, for at most 24 hours.")
@click.option("--progress", type=click.IntRange(0, 100), help="Progress of the upload in percent.")
@click.option("--bytes-done", type=_NOT_NEGATIVE, help="Bytes sent so far.")
@click.option("--bytes-total", type=_NOT_NEGATIVE, help="Bytes to send in total.")
@click.option(
    "--path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The uploaded file: its present size is taken as --bytes-total.",
)
@token_options
@click.option(
    "--max-lifetime", metavar="DURATION", help="Release the hold after this time at the latest."
)
@click.option("--note", help="A comment that is shown with the hold.")
@socket_option
def hold(
    session_id: str,
    vcenter: str,
    kind: str,
    pid: int | None,
    ttl: str | None,
    while_connected: bool,
    no_owner: bool,
    path: Path | None,
    token_file: str | None,
    govc_session: bool,
    control: Control,
    **values: Any,
) -> None:
    """Keep a session alive until the end that --pid, --ttl, --while-connected or --no-owner sets.

    \b
    clkeepalived hold "$SESSION" --pid $$   until this script ends, however it ends
    clkeepalived hold "$SESSION" --ttl 2m   until 2 minutes after the last `clkeepalived progress`

    When the command returns, the hold is on the daemon's disk and survives restarts. With
    --while-connected the command keeps running and prints the session's events. It exits with 0 if
    the session was released (Ctrl-C) or its content arrived, and with 1 if the session was lost.

    With a lent API token, the daemon keeps the uploader's API session alive as well, so that its
    last call still works after hours. The daemon never shows the token and never logs it out.
    """
    given = {"pid": pid, "ttl": ttl}
    owners: list[Any] = [{name: each} for name, each in given.items() if each is not None]
    owners += [None] * no_owner
    if len(owners) + while_connected != 1:
        raise click.UsageError(
            "give exactly one of --pid N, --ttl 2m, --while-connected and --no-owner"
        )
    target, query = session_path(vcenter, session_id), {"kind": kind}
    read_token = token_reader(token_file, govc_session)
    fields = {name: value for name, value in values.items() if value is not None}
    if path is not None:
        fields |= _size_of(path, fields)
    if (token := read_token()) is not None:
        fields["token"] = token
    if while_connected:
        from keepalived.cli.hold_stream import hold_while_connected

        sys.exit(hold_while_connected(control, target, query, fields, read_token))
    session = control.request("PUT", target, {"owner": owners[0], **fields}, query=query)
    answers_by = time.monotonic() + _FIRST_ANSWER_SECONDS
    while session["state"] == "PENDING" and time.monotonic() < answers_by:
        time.sleep(_PAUSE_SECONDS)  # a mistyped id shows with the first renewal
        session = control.request("GET", target, query=query)
    is_good = session["state"] in text.KEPT or session["holds"]
    click.echo(_describe(session, pid, ttl), err=not is_good)
    sys.exit(0 if is_good else 1)


def _size_of(path: Path, fields: Mapping[str, Any]) -> dict[str, int]:
    """Return a file's size for the API, never its name: the daemon opens no files for clients."""
    for name in ("progress", "bytes_total"):
        if name in fields:
            option = name.replace("_", "-")
            raise click.UsageError(f"--path and --{option} cannot be combined")
    try:
        found = path.stat()
    except OSError as error:
        raise click.ClickException(f"--path {path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise click.UsageError(f"--path {path} is not a regular file: use --bytes-total instead")
    return {"bytes_total": found.st_size}


def _describe(session: text.JsonObject, pid: int | None, ttl: str | None) -> str:
    kind = "pid" if pid is not None else "ttl" if ttl is not None else "none"
    taken = [each for each in session["holds"] if each["owner"].partition(":")[0] == kind]
    # The session ended before the answer was read: print only what it ended as.
    if not taken:
        vcenter = text.printable(session["vcenter"])
        if session["state"] == "NOT_FOUND":
            return f"{vcenter} has no such session: {session['id']}"
        return f"{session['id']} of {vcenter} has ended: {text.ended(session)}"
    mine = next((each for each in taken if each["owner"] == f"pid:{pid}"), taken[-1])
    if mine["token"] == "refused":  # noqa: S105 - the state of one
        click.echo(f"Warning: {text.token(mine)}", err=True)
    limit = "" if mine["until"] is None else f" ({text.clock_time(mine['until'])} at the latest)"
    return (
        f"holding {session['id']} of {text.printable(session['vcenter'])} "
        f"{text.owner(mine['owner'])}{limit}"
    )
