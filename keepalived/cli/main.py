"""The entry point: one command with subcommands, each imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from keepalived.cli import standard_streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Place(NamedTuple):
    """Where a command lives, and what the list of commands says of it.

    The line stands here, so that the list can be shown without importing any of them.
    """

    module: str
    name: str
    summary: str


_SECTIONS = {
    "Uploads": {
        "exec": _Place("exec", "exec_", "Run one command, and keep its sessions alive."),
    },
    "Holds": {
        "hold": _Place("hold", "hold", "Keep a session alive."),
        "progress": _Place("progress", "progress", "Say how far its upload is."),
        "release": _Place("release", "release", "Let a hold go."),
        "renew": _Place("renew", "renew", "Send a keep-alive at once."),
    },
    "Looking": {
        "status": _Place("status", "status", "Show what is held, and what is in danger."),
        "sessions": _Place("sessions", "sessions", "List what vCenter has open, held or not."),
        "events": _Place("events", "events", "Say what happens, as it happens."),
    },
    "Daemon": {
        "serve": _Place("serve", "serve", "Run the daemon in the foreground."),
        "check-config": _Place("check_config", "check_config", "Say what is wrong with a file."),
        "reload": _Place("reload", "reload", "Have the daemon read its configuration again."),
        "cancel": _Place("cancel", "cancel", "Cancel a session on the server."),
    },
    "Trying": {
        "probe": _Place("probe", "probe", "Find out how your vCenter treats update sessions."),
        "demo": _Place("demo", "demo", "See sessions outlive their lifetime, without a vCenter."),
        "simulate": _Place("simulate", "simulate", "Serve a content library to try uploads on."),
        "completion": _Place("completion", "completion", "Print the completion for a shell."),
    },
}
_COMMANDS = {name: place for section in _SECTIONS.values() for name, place in section.items()}


class _LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on demand: start-up stays short."""

    def main(self, *args: Any, **how: Any) -> Any:
        standard_streams.mend()
        try:
            return super().main(*args, **how)
        except standard_streams.OutputError as error:
            standard_streams.give_up_output()
            click.echo(f"clkeepalived: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module = importlib.import_module(f"keepalived.cli.{place.module}")
        command: click.Command = getattr(module, place.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                rows = [(name.ljust(_NAME_WIDTH), place.summary) for name, place in section.items()]
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=place.summary)
            for name, place in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


_NAME_WIDTH = max(map(len, _COMMANDS))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="content-library-keepalived", prog_name="clkeepalived")
@click.pass_context
def main(context: click.Context) -> None:
    """Keep vSphere Content Library update sessions alive while uploads take their time."""
    from keepalived.host.signals import unblock

    # What `exec` gives to its command.
    context.obj = unblock()
