"""`clkeepalived exec`: run a command and keep its sessions alive, without a daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keepalived.cli.lending import STDIN, ReadToken, token_reader
from keepalived.cli.one_vcenter import choose, load, own_config_option, own_vcenter_option, warn
from keepalived.cli.options import SESSION_ID, Checked, duration_option, kind_option
from keepalived.lease.model import Kind

if TYPE_CHECKING:
    from keepalived.wrapper.display import ExecDisplay
    from keepalived.wrapper.options import ExecOptions
    from keepalived.wrapper.tokens import Source

_INTERRUPTED = 128 + signal.SIGINT
_CLOSE_SECONDS = 1.0


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
    help="An item that COMMAND transfers: its session belongs to COMMAND. Can be repeated.",
)
@click.option(
    "--session",
    "session_ids",
    multiple=True,
    metavar="ID",
    type=SESSION_ID,
    help="A session that is already open and belongs to COMMAND. Can be repeated.",
)
@kind_option
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(readable=False),  # errors are reported by our own code
    help="The file with COMMAND's API token, which is then kept alive as well.",
)
@click.option(
    "--govc-session/--no-govc-session",
    default=None,
    help="Keep govc's cached API session alive as well. Default: if it exists and --token-file is "
    "not given; with --govc-session it must exist.",
)
@duration_option(
    "--settle",
    default="1h",
    help="After success, hold COMMAND's sessions until vCenter has processed them, but not longer "
    "than this.",
)
@click.option(
    "--on-loss",
    type=click.Choice(["leave", "term"]),
    default="leave",
    show_default=True,
    help="If a session of COMMAND is lost: leave COMMAND running, or send it SIGTERM.",
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
    """Run COMMAND and keep alive the sessions that it opens.

    Needs no daemon and no root privileges. The exit code is that of COMMAND: 128+n if signal n
    ended it, 127 if it is not found, 126 if it cannot be executed. COMMAND is not started if the
    vCenter cannot be used (69) or the configuration is invalid (78).

    A session that appears on the account while COMMAND runs belongs to COMMAND if --item, --session
    or the name of an open file says so. Other sessions may belong to other users: they are kept
    alive while COMMAND runs, with a warning, and never cancelled.
    """
    from keepalived.wrapper.command import CommandError, check

    try:
        check(command[0])
        from keepalived.wrapper.options import ExecOptions
        from keepalived.wrapper.ownership import Selector

        settings = load(config)
        name, chosen = choose(vcenter, settings)
        config_option = () if config is None else ("--config", str(config))
        vcenter_option = ("--vcenter", name) if len(settings.vcenters) > 1 else ()
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
            cancel_command=("clkeepalived", "cancel", "--direct", *config_option, *vcenter_option),
        )
        source = _source(options, token_file, govc_session)
        if chosen.username is None and source is None:
            raise click.UsageError(
                f"no credentials and no API token for {name}: set GOVC_USERNAME and "
                "GOVC_PASSWORD, or give --config or --token-file"
            )
        code = _run(options, source, show_bar=progress)
    except CommandError as error:
        click.echo(f"clkeepalived: {error}", err=True)
        code = error.exit_code
    except KeyboardInterrupt:  # before the command was started
        code = _INTERRUPTED
    sys.exit(code)


def _run(options: ExecOptions, source: Source | None, *, show_bar: bool) -> int:
    starting = _Starting(options, source, show_bar=show_bar)
    try:
        # The standard loop: uvloop has a SIGCHLD of its own.
        return asyncio.run(starting.run())
    finally:
        if starting.display is not None:
            starting.display.finish()


class _Starting:
    """Asks the vCenter for its sessions while the rest of the wrapper is imported, then runs it."""

    def __init__(self, options: ExecOptions, source: Source | None, *, show_bar: bool) -> None:
        self.display: ExecDisplay | None = None
        self._options = options
        self._source = source
        self._show_bar = show_bar
        self._interrupted_by: int | None = None
        self._importing: asyncio.Task[None]

    async def run(self) -> int:
        """Return the exit code; that of a shell if a signal came before the wrapper was ready."""
        from keepalived.host.clock import SystemClock
        from keepalived.vcenter.connect import connect
        from keepalived.wrapper.options import first_timeout
        from keepalived.wrapper.signals import INTERRUPTS, handled, is_ignored

        options, clock = self._options, SystemClock()
        handlers = {
            each: partial(self._interrupt, each) for each in INTERRUPTS if not is_ignored(each)
        }
        with handled(handlers):
            settings, token = options.settings, self._source.read() if self._source else None
            client = connect(options.vcenter, settings, clock)
            listing = client.list(Kind.UPDATE, timeout=first_timeout(settings), token=token)
            answer = asyncio.create_task(listing, name="first list of sessions")
            self._importing = asyncio.create_task(asyncio.to_thread(_import_wrapper))
            await asyncio.wait([self._importing])
            if self._interrupted_by is not None:
                answer.cancel()
                await client.close(timeout=_CLOSE_SECONDS)
                return 128 + self._interrupted_by
            self._importing.result()
            from keepalived.wrapper.display import ExecDisplay
            from keepalived.wrapper.log import DisplayHandler
            from keepalived.wrapper.run import Wrapped
            from keepalived.wrapper.session_finder import FirstList
            from keepalived.wrapper.tokens import Lent

            self.display = display = ExecDisplay(sys.stderr, clock, with_bar=self._show_bar)
            logging.basicConfig(handlers=[DisplayHandler(display.say)], level=logging.WARNING)
            logging.captureWarnings(capture=True)
            lent, first = Lent(self._source, clock, display.say), FirstList(token, answer)
            return await Wrapped(options, lent, display, clock, client, first).run()

    def _interrupt(self, number: int) -> None:
        self._interrupted_by = number
        self._importing.cancel()


def _import_wrapper() -> None:
    from keepalived.wrapper import display, run  # noqa: F401


def _source(
    options: ExecOptions, token_file: str | None, govc_session: bool | None
) -> Source | None:
    """Return the function that finds the command's own API token. Raises ClickException."""
    from keepalived.host.govc import GovcSessionError, cached_session, home_directory
    from keepalived.wrapper.tokens import Source

    if token_file == STDIN:
        raise click.UsageError("--token-file: standard input belongs to COMMAND; give a file")
    if token_file is not None:
        read = token_reader(token_file, govc_session or False)
        read()  # report errors in the file before the command is started
        return Source(
            f"the API session of {token_file}", _none_if_invalid(read), is_commands_own=True
        )
    if govc_session is False or not (os.environ.get("GOVC_URL") or govc_session):
        return None
    if not _names_vcenter_of_govc(options):
        if govc_session:
            raise click.UsageError(
                f"--govc-session: GOVC_URL does not name the vCenter {options.vcenter}, and "
                "govc's token is not sent to another one"
            )
        return None
    read = token_reader(None, govc_session=True)
    if govc_session:
        read()
    else:
        try:
            cached_session(os.environ, home_directory())
        except GovcSessionError as error:
            warn(f"govc's cached session is not used: {error} (or use --no-govc-session)")
    return Source("govc's cached session", _none_if_invalid(read), is_commands_own=False)


def _names_vcenter_of_govc(options: ExecOptions) -> bool:
    """Whether govc's variables name this vCenter: its tokens must not go to any other."""
    from keepalived.settings.values import split_vcenter_url

    try:
        return split_vcenter_url(os.environ["GOVC_URL"]).url == options.settings.url
    except (KeyError, ValueError):
        return False


def _none_if_invalid(read: ReadToken) -> Callable[[], str | None]:
    """Return a reader that returns None for an invalid file: it may be in the middle of a write."""

    def read_valid() -> str | None:
        try:
            return read()
        except click.ClickException:
            return None

    return read_valid
