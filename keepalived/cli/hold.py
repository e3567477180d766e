"""`clkeepalived hold`: have the daemon keep a session alive."""

from __future__ import annotations

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from keepalived.cli import text
from keepalived.cli.lending import lender, token_options
from keepalived.cli.options import session_options, socket_option
from keepalived.cli.socket_client import Control, session_path

_NOT_NEGATIVE = click.IntRange(min=0)


@click.command()
@session_options
@click.option("--pid", type=click.IntRange(min=1), help="Hold while this process lives.")
@click.option("--ttl", metavar="DURATION", help="Hold this long after each word of progress.")
@click.option("--while-connected", is_flag=True, help="Hold while this command runs.")
@click.option("--no-owner", is_flag=True, help="Hold until released, for 24 hours at most.")
@click.option("--progress", type=click.IntRange(0, 100), help="How far the upload is, in percent.")
@click.option("--bytes-done", type=_NOT_NEGATIVE, help="Bytes that were sent so far.")
@click.option("--bytes-total", type=_NOT_NEGATIVE, help="Bytes that there are to send.")
@click.option(
    "--path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file that is uploaded: as many bytes as it has now are to be sent.",
)
@token_options
@click.option("--max-lifetime", metavar="DURATION", help="Let go after this time at the latest.")
@click.option("--note", help="A word for whoever looks at the hold.")
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
    **wishes: Any,
) -> None:
    """Keep a session alive: one of --pid, --ttl, --while-connected or --no-owner says how long.

    \b
    clkeepalived hold "$SESSION" --pid $$      until this script ends, however it ends
    clkeepalived hold "$SESSION" --ttl 2m      two minutes beyond each `clkeepalived progress`

    Once it returns, the hold is on the daemon's disk and survives restarts. --while-connected
    stays, says what happens to the session, and ends with 0 if the session was let go (Ctrl-C) or
    its content arrived, and with 1 if it was lost.

    A token that is lent keeps the uploader's own API session fresh, too, so that its last call
    still works after hours. The daemon never shows it, and never logs it out.
    """
    given = {"pid": pid, "ttl": ttl}
    owners: list[Any] = [{name: each} for name, each in given.items() if each is not None]
    owners += [None] * no_owner
    if len(owners) + while_connected != 1:
        raise click.UsageError(
            "say what the hold lives with: one of --pid N, --ttl 2m, --while-connected, --no-owner"
        )
    place, query = session_path(vcenter, session_id), {"kind": kind}
    lend = lender(token_file, govc_session)
    wish = {name: value for name, value in wishes.items() if value is not None}
    if path is not None:
        wish |= _size_of(path, wish)
    if (token := lend()) is not None:
        wish["token"] = token
    if while_connected:
        from keepalived.cli.hold_stream import stay

        sys.exit(stay(control, place, query, wish, lend))
    session = control.request("PUT", place, {"owner": owners[0], **wish}, query=query)
    is_well = session["state"] in text.KEPT or session["holds"]
    click.echo(_words(session, pid, ttl), err=not is_well)
    sys.exit(0 if is_well else 1)


def _size_of(path: Path, wish: Mapping[str, Any]) -> dict[str, int]:
    """Return a file's size for the API, never its name: the daemon opens no files for clients."""
    for name in ("progress", "bytes_total"):
        if name in wish:
            option = name.replace("_", "-")
            raise click.UsageError(f"--path says how many bytes there are: leave --{option} out")
    try:
        found = path.stat()
    except OSError as error:
        raise click.ClickException(f"--path {path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise click.UsageError(f"--path {path} is no regular file: say --bytes-total instead")
    return {"bytes_total": found.st_size}


def _words(session: text.Said, pid: int | None, ttl: str | None) -> str:
    kind = "pid" if pid is not None else "ttl" if ttl is not None else "none"
    taken = [each for each in session["holds"] if each["owner"].partition(":")[0] == kind]
    # The session ended before the answer was read: print only what it ended as.
    if not taken:
        place = text.printable(session["vcenter"])
        return f"{session['id']} of {place} has ended: {text.ended(session)}"
    mine = next((each for each in taken if each["owner"] == f"pid:{pid}"), taken[-1])
    if mine["token"] == "refused":  # noqa: S105 - the state of one
        click.echo(f"Warning: {text.token(mine)}", err=True)
    limit = "" if mine["until"] is None else f" ({text.clock_time(mine['until'])} at the latest)"
    return (
        f"holding {session['id']} of {text.printable(session['vcenter'])} "
        f"{text.owner(mine['owner'])}{limit}"
    )
