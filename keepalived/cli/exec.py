"""`clkeepalived exec`: run one command with a keeper of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepalived.cli.lending import STDIN, Lend, lender
from keepalived.cli.one_vcenter import choose, load, own_config_option, own_vcenter_option, warn
from keepalived.cli.options import SESSION_ID, Checked, duration_option, kind_option
from keepalived.lease.model import Kind

if TYPE_CHECKING:
    from keepalived.wrapper.run import ExecOptions
    from keepalived.wrapper.tokens import Source

_INTERRUPTED = 128 + signal.SIGINT


def _item(text: str) -> str:
    library, _, name = text.partition("/")
    if not (library and name):
        raise ValueError(f"{text!r} is not LIBRARY/NAME")
    return text


@click.command(
    "exec", context_settings={"allow_interspersed_args": False}, options_metavar="[OPTIONS] --"
)
@own_config_option
@own_vcenter_option
@click.option(
    "--item",
    "items",
    multiple=True,
    metavar="LIBRARY/NAME",
    type=Checked(_item),
    help="An item that the command fills: its session is the command's own. May be repeated.",
)
@click.option(
    "--session",
    "session_ids",
    multiple=True,
    metavar="ID",
    type=SESSION_ID,
    help="A session that is open already and the command's own. May be repeated.",
)
@kind_option
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(readable=False),  # errors are reported by our own code
    help="A file with the API token that the command uses, to be kept fresh as well.",
)
@click.option(
    "--govc-session/--no-govc-session",
    default=None,
    help="Keep the API session that govc has cached fresh as well. Tried anyway, unless a token "
    "file is given; with --govc-session it has to be there.",
)
@duration_option(
    "--settle",
    default="1h",
    words="After a success, hold the command's sessions until vCenter is done, for so long at "
    "most.",
)
@click.option(
    "--on-loss",
    type=click.Choice(["leave", "term"]),
    default="leave",
    show_default=True,
    help="What happens to the command when its session is lost: nothing, or SIGTERM.",
)
@click.option(
    "--progress/--no-progress", default=True, help="Show a progress bar on a terminal.  [default]"
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec(
    blocked_signals: frozenset[int],
    config: Path | None,
    vcenter: str | None,
    items: tuple[str, ...],
    session_ids: tuple[str, ...],
    kind: str,
    token_file: str | None,
    govc_session: bool | None,
    settle: float,
    on_loss: str,
    progress: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, and keep the sessions alive that it opens.

    No service and no root are needed. The exit code is the command's: 128+n for a signal, 127
    where there is no such command, 126 where it cannot be run. 69 says that the vCenter could not
    be asked, 78 that the configuration is bad; the command was not started then.

    Sessions that appear on the same account while the command runs are its own where --item,
    --session or the names of the files that it has open say so. Others may be somebody else's:
    they are held while the command runs, with a warning, and never cancelled.
    """
    from keepalived.wrapper.command import CommandError, check

    try:
        check(command[0])
        from keepalived.wrapper.ownership import Selector
        from keepalived.wrapper.run import ExecOptions

        settings = load(config)
        name, chosen = choose(vcenter, settings)
        file = () if config is None else ("--config", str(config))
        which = ("--vcenter", name) if len(settings.vcenters) > 1 else ()
        options = ExecOptions(
            argv=command,
            vcenter=name,
            settings=chosen,
            wanted=Selector(frozenset(session_ids), frozenset(items)),
            kind=Kind(kind),
            settle=settle,
            ends_on_loss=on_loss == "term",
            stall_timeout=settings.stall_timeout,
            blocked_signals=blocked_signals,
            cancel_command=("clkeepalived", "cancel", "--direct", *file, *which),
        )
        source = _source(options, token_file, govc_session)
        if chosen.username is None and source is None:
            raise click.UsageError(
                f"no credentials of {name} are known, and no token was lent; set GOVC_USERNAME "
                "and GOVC_PASSWORD, or give --config or --token-file"
            )
        code = _run(options, source, show_bar=progress)
    except CommandError as error:
        click.echo(f"clkeepalived: {error}", err=True)
        code = error.exit_code
    except KeyboardInterrupt:  # before the command was started
        code = _INTERRUPTED
    sys.exit(code)


def _run(options: ExecOptions, source: Source | None, *, show_bar: bool) -> int:
    from keepalived.host.clock import SystemClock
    from keepalived.wrapper.display import ExecDisplay
    from keepalived.wrapper.log import DisplayHandler
    from keepalived.wrapper.run import Wrapped
    from keepalived.wrapper.tokens import Lent

    clock = SystemClock()
    display = ExecDisplay(sys.stderr, clock, with_bar=show_bar)
    logging.basicConfig(handlers=[DisplayHandler(display.say)], level=logging.WARNING)
    logging.captureWarnings(capture=True)
    try:
        # The standard loop: uvloop has a SIGCHLD of its own.
        lent = Lent(source, clock, display.say)
        return asyncio.run(Wrapped(options, lent, display, clock).run())
    finally:
        display.finish()


def _source(
    options: ExecOptions, token_file: str | None, govc_session: bool | None
) -> Source | None:
    """Return the function that finds the command's own API token. Raises ClickException."""
    from keepalived.host.govc import GovcSessionError, cached_session, home_directory
    from keepalived.wrapper.tokens import Source

    if token_file == STDIN:
        raise click.UsageError("--token-file: stdin is the command's; name a file")
    if token_file is not None:
        lend = lender(token_file, govc_session or False)
        lend()  # report errors in the file before the command is started
        return Source(token_file, _leniently(lend), is_commands_own=True)
    if govc_session is False or not (os.environ.get("GOVC_URL") or govc_session):
        return None
    if not _is_govcs(options):
        if govc_session:
            raise click.UsageError(
                f"--govc-session: GOVC_URL does not name the vCenter {options.vcenter}, and a "
                "token is lent to nobody else"
            )
        return None
    lend = lender(None, govc_session=True)
    if govc_session:
        lend()
    else:
        try:
            cached_session(os.environ, home_directory())
        except GovcSessionError as error:
            warn(f"govc's cache is not used: {error} (or --no-govc-session)")
    return Source("govc's cache", _leniently(lend), is_commands_own=False)


def _is_govcs(options: ExecOptions) -> bool:
    """Whether govc's variables name this vCenter: its tokens must not go to any other."""
    from keepalived.settings.values import split_vcenter_url

    try:
        return split_vcenter_url(os.environ["GOVC_URL"]).url == options.settings.url
    except (KeyError, ValueError):
        return False


def _leniently(lend: Lend) -> Callable[[], str | None]:
    """Return no token while the file is invalid: it may be in the middle of a write."""

    def look() -> str | None:
        try:
            return lend()
        except click.ClickException:
            return None

    return look
