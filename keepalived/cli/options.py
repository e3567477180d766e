"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from keepalived.cli.socket_client import THE_ONLY_VCENTER, Control
from keepalived.lease.model import Kind, check_session_id

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DEFAULT_SOCKET = Path("/run/clkeepalived/control.sock")
SOCKET_VARIABLE = "CLKEEPALIVED_SOCKET"
_COMPLETION_SECONDS = 1.0

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def a_config_option(without_one: str) -> Callable[[CommandT], CommandT]:
    """Return an option for the configuration's path, whose help says what is read without one."""
    return click.option(
        "--config",
        envvar="CLKEEPALIVED_CONFIG",
        type=click.Path(dir_okay=False, readable=False, path_type=Path),
        help=f"The configuration file. Without one, {without_one}",
    )


config_option = a_config_option(
    "/etc/clkeepalived/config.yaml is read, or else GOVC_URL and its like describe the vCenter."
)


def _control(_ctx: click.Context, _param: click.Parameter, path: Path) -> Control:
    return Control(path)


socket_option = click.option(
    "--socket",
    "control",
    envvar=SOCKET_VARIABLE,
    type=click.Path(path_type=Path, readable=False),  # who may not open it is told more below
    default=DEFAULT_SOCKET,
    show_default=True,
    callback=_control,
    help="The daemon's control socket.",
)


def _session_id(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else check_session_id(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def complete_session_ids(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the ids that the daemon knows, and none where it is not to be had at once."""
    from click.shell_completion import CompletionItem

    from keepalived.cli import words

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
        CompletionItem(each["id"], help=f"{each['state']} {words.item_name(each)}".strip())
        for each in sessions
        if each["id"].startswith(incomplete)
    ]


def session_argument(*, required: bool = True) -> Callable[[CommandT], CommandT]:
    """Return the decorator for the argument ID."""
    return click.argument(
        "session_id",
        metavar="ID" if required else "[ID]",
        required=required,
        callback=_session_id,
        shell_complete=complete_session_ids,
    )


def _not_empty(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not text.strip("."):
        raise click.BadParameter("has to be the name of a vCenter in the daemon's configuration")
    return text


vcenter_option = click.option(
    "--vcenter",
    metavar="NAME",
    default=THE_ONLY_VCENTER,
    callback=_not_empty,
    help="The vCenter's name in the daemon's configuration; needed where there are several.",
)

any_vcenter_option = click.option(
    "--vcenter",
    metavar="NAME",
    callback=_not_empty,
    help="This vCenter alone; all of them otherwise.",
)

kind_option = click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.UPDATE.value,
    show_default=True,
    help="The kind of session.",
)

owner_option = click.option(
    "--owner",
    metavar="OWNER",
    help="Which hold, where there are several: pid:N, ttl, connection, none or discovery.",
)
