"""The entry point: a command group that imports each subcommand only when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import click

from keepalived.cli import standard_streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_SECTIONS = {
    "Uploads": {"exec": "Run a command and keep its sessions alive."},
    "Holds": {
        "hold": "Keep a session alive.",
        "progress": "Report the progress of an upload.",
        "release": "Release a hold.",
        "renew": "Send a keep-alive now.",
    },
    "Monitoring": {
        "status": "Show the held sessions and those at risk.",
        "sessions": "List the sessions open on vCenter, held or not.",
        "events": "Print events as they happen.",
    },
    "Daemon": {
        "serve": "Run the daemon in the foreground.",
        "check-config": "Check a configuration file.",
        "reload": "Reload the daemon's configuration.",
        "cancel": "Cancel a session on the server.",
    },
    "Testing": {
        "probe": "Measure how a vCenter treats update sessions.",
        "demo": "Show kept and unkept uploads on a simulated vCenter.",
        "simulate": "Run a simulated content library.",
        "completion": "Print a completion script for a shell.",
    },
}
"""Each command's line in the list of commands, which is shown without importing them.

Each command is a function in the module of the same name.
"""
_COMMANDS = {name: text for section in _SECTIONS.values() for name, text in section.items()}


class _LazyGroup(click.Group):
    """A group that imports the modules of its commands on demand, which keeps start-up short."""

    def main(self, *args: Any, **options: Any) -> Any:
        standard_streams.mend()
        try:
            return super().main(*args, **options)
        except standard_streams.OutputError as error:
            standard_streams.give_up_output()
            click.echo(f"clkeepalived: cannot write to standard output: {error.strerror}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"keepalived.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(_NAME_WIDTH), each) for name, each in section.items()]
                )

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text)
            for name, text in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


_NAME_WIDTH = max(map(len, _COMMANDS))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="content-library-keepalived", prog_name="clkeepalived")
@click.pass_context
def main(context: click.Context) -> None:
    """Keep vSphere Content Library update sessions alive during long uploads."""
    from keepalived.host.signals import unblock

    # Passed to `exec`, which restores it for its command.
    context.obj = unblock()
