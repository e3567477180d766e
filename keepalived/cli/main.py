"""The entry point: one command with subcommands, each imported only when it is used."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "serve": "keepalived.cli.serve:serve",
    "check-config": "keepalived.cli.check_config:check_config",
    "simulate": "keepalived.cli.simulate:simulate",
    "demo": "keepalived.cli.demo:demo",
}


class _LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on demand: start-up stays short."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="content-library-keepalived", prog_name="clkeepalived")
def main() -> None:
    """Keep vSphere Content Library update sessions alive while uploads take their time."""
