"""`clkeepalived progress`: report the progress of an upload, once or as a stream."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

import click

from keepalived.cli.lending import token_options, token_reader
from keepalived.cli.options import owner_option, session_options, socket_option
from keepalived.cli.socket_client import Control, session_path

STREAM = "-"

_VALUE = re.compile(r"(\d{1,18})/(\d{1,18})|(\d{1,3})(?:\.\d*)?%?", re.ASCII)
_LARGEST = 100


@click.command()
@session_options
@click.argument("value", metavar="[N|DONE/TOTAL|-]", required=False)
@owner_option
@token_options
@socket_option
def progress(
    session_id: str,
    value: str | None,
    vcenter: str,
    kind: str,
    owner: str | None,
    token_file: str | None,
    govc_session: bool,
    control: Control,
) -> None:
    """Report the progress of an upload: in percent, as bytes DONE/TOTAL, or - to read a stream.

    The next keep-alive sends the progress to vCenter. A hold with --ttl starts its time again. With
    -, progress is read from standard input, for example from pv, which writes its numbers to stderr
    and the file to stdout; in bash, this command keeps them apart:

    \b
    pv -n disk.ova 2> >(clkeepalived progress "$SESSION" -) | curl -T - "$UPLOAD_URL"

    The stream is read to its end, even if the daemon restarts. Values that fall are ignored, and
    of several at once the newest is sent.

    If vCenter refused the API token lent with a hold, lend a new one, with or without a value:

    \b
    clkeepalived progress "$SESSION" --token-file FILE
    """
    lends = token_file is not None or govc_session
    if value == STREAM and lends:
        raise click.UsageError("a token cannot be lent together with -: use a separate command")
    if value is None and not lends:
        raise click.UsageError("give the progress (N, DONE/TOTAL or -) or a token to lend")
    path, query = session_path(vcenter, session_id), {"kind": kind, "owner": owner}

    if value == STREAM:
        from keepalived.cli.number_stream import report_stream

        def report(body: Mapping[str, int]) -> None:
            control.request("PATCH", path, body, query=query)

        sys.exit(report_stream(sys.stdin.fileno(), report))
    done = {} if value is None else read_value(value)
    if done is None:
        raise click.BadParameter(
            f"{value!r} is neither a percentage from 0 to 100, nor bytes as DONE/TOTAL, nor -",
            param_hint="N|DONE/TOTAL|-",
        )
    token = token_reader(token_file, govc_session)()
    body = done if token is None else {**done, "token": token}
    session = control.request("PATCH", path, body, query=query)
    for hold in session["holds"] if token is not None else ():
        is_meant = owner is None or hold["owner"].startswith(owner)
        if hold["token"] == "refused" and hold["uid"] == os.getuid() and is_meant:  # noqa: S105
            raise click.ClickException("vCenter has refused this token; lend a new one")


def read_value(text: str) -> dict[str, int] | None:
    """Convert `42`, `42.5`, `42%` or `DONE/TOTAL` to API fields; return None for other texts."""
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        return None
    done, total, percent = match.groups()
    if percent is not None:
        return {"progress": int(percent)} if int(percent) <= _LARGEST else None
    if int(done) > int(total):
        return None
    return {"bytes_done": int(done), "bytes_total": int(total)}
