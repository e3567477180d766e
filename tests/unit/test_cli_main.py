"""The list of commands, which is shown without importing any of them."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from keepalived.cli.main import main

CONTEXT = click.Context(main)
NAMES = main.list_commands(CONTEXT)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    command = main.get_command(CONTEXT, name)
    assert command is not None
    assert command.name == name
    assert command.help
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help or name == "simulate"


def test_the_list_of_commands_fits_eighty_columns_and_says_a_sentence_of_each() -> None:
    text = main.get_help(click.Context(main, info_name="clkeepalived", terminal_width=80))
    lines = text.splitlines()
    for name in NAMES:
        (line,) = [each for each in lines if each.split()[:1] == [name]]
        assert line.endswith(".")
        assert len(line) <= 80


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from keepalived.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(sorted(name for name in sys.modules if name.startswith('keepalived.')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = ["keepalived.cli", "keepalived.cli.main", "keepalived.cli.standard_streams"]
    assert out.stdout.splitlines()[-1] == str(own)
