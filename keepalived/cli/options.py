"""Arguments, options and completions of several commands; the exit for a bad configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from keepalived.lease.model import Kind, check_session_id

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from keepalived.cli.socket_client import Control

EXIT_BAD_CONFIGURATION = 78

DEFAULT_SOCKET = Path("/run/clkeepalived/control.sock")
THE_ONLY_VCENTER = "-"
SOCKET_VARIABLE = "CLKEEPALIVED_SOCKET"
_COMPLETION_SECONDS = 1.0

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Checked(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.3
    """A value that a function checks or converts; the message of its ValueError is shown."""

    name = "text"

    def __init__(self, check: Callable[[str], object]) -> None:
        self._check = check

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        try:
            return self._check(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SESSION_ID = Checked(check_session_id)


def duration(text: str) -> float:
    """Return a duration in seconds. Raises ValueError."""
    from keepalived.settings.durations import parse_duration

    return parse_duration(text)


def duration_option(
    *names: str, default: str, help: str, check: Callable[[str], float] = duration
) -> Callable[[CommandT], CommandT]:
    """Return the decorator for an option whose value is a duration."""
    return click.option(
        *names,
        metavar="DURATION",
        type=Checked(check),
        default=default,
        show_default=True,
        help=help,
    )


def refuse_configuration(problems: Iterable[object]) -> NoReturn:
    """Print the problems of a configuration and exit."""
    for problem in problems:
        click.echo(str(problem), err=True)
    sys.exit(EXIT_BAD_CONFIGURATION)


def config_option(help: str) -> Callable[[CommandT], CommandT]:
    """Return the decorator for `--config`, with its help text."""
    return click.option(
        "--config",
        envvar="CLKEEPALIVED_CONFIG",
        type=click.Path(dir_okay=False, readable=False, path_type=Path),
        help=help,
    )


def _control(_ctx: click.Context, _param: click.Parameter, path: Path) -> Control:
    from keepalived.cli.socket_client import Control  # which imports an HTTP client

    return Control(path)


socket_option = click.option(
    "--socket",
    "control",
    envvar=SOCKET_VARIABLE,
    type=click.Path(path_type=Path, readable=False),  # `Control` reports errors in more detail
    default=DEFAULT_SOCKET,
    show_default=True,
    callback=_control,
    help="The daemon's control socket.",
)


def complete_session_ids(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the ids that the daemon knows, or none if it does not answer quickly."""
    from click.shell_completion import CompletionItem

    from keepalived.cli import text
    from keepalived.cli.socket_client import Control

    control = ctx.params.get("control")
    if not isinstance(control, Control):
        control = Control(Path(os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET))
    try:
        sessions: list[dict[str, Any]] = control.request(
            "GET", "/v1/sessions", timeout=_COMPLETION_SECONDS
        )["sessions"]
    except (click.ClickException, LookupError, TypeError):
        return []
    return [
        CompletionItem(each["id"], help=f"{each['state']} {text.item_name(each)}".strip())
        for each in sessions
        if each["id"].startswith(incomplete)
    ]


def session_argument(*, required: bool = True) -> Callable[[CommandT], CommandT]:
    """Return the decorator for the session's argument ID."""
    return click.argument(
        "session_id",
        metavar="ID" if required else "[ID]",
        required=required,
        type=SESSION_ID,
        shell_complete=complete_session_ids,
    )


def _vcenter(text: str) -> str:
    if not text.strip("."):
        raise ValueError("must be the name of a vCenter in the daemon's configuration")
    return text


any_vcenter_option = click.option(
    "--vcenter",
    metavar="NAME",
    type=Checked(_vcenter),
    help="Only this vCenter. Default: all of them.",
)

kind_option = click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.UPDATE.value,
    show_default=True,
    help="The kind of session.",
)


def session_options(command: CommandT) -> CommandT:
    """Add the parameters that identify one session: ID, `--vcenter` and `--kind`."""
    vcenter_option = click.option(
        "--vcenter",
        metavar="NAME",
        default=THE_ONLY_VCENTER,
        type=Checked(_vcenter),
        help="The session's vCenter. Required if several are configured.",
    )
    return session_argument()(vcenter_option(kind_option(command)))


owner_option = click.option(
    "--owner",
    metavar="OWNER",
    help="Which hold, if you have several: pid:N, ttl, connection, none or discovery.",
)
