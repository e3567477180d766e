"""The manual pages are made from the program, and so say what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from keepalived.cli.main import main
from keepalived.settings import Settings
from keepalived.validation.json_schema import schema_of
from tests.support.programs import needs

TOOL = Path(__file__).parents[2] / "installer/manpages.py"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, TOOL, folder], check=True)
    return folder


def plain(page: Path) -> str:
    """Return a page without what is for roff alone."""
    return re.sub(r"\\f[BIR]", "", page.read_text(encoding="utf-8")).replace("\\-", "-")


def test_every_command_and_option_is_in_the_first(pages: Path) -> None:
    text = plain(pages / "clkeepalived.1")
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f'.SS "clkeepalived {name} ' in text
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[0] in text


def test_every_setting_is_in_the_fifth(pages: Path) -> None:
    text = plain(pages / "clkeepalived.yaml.5")
    schema = schema_of(Settings)
    models = [schema, *schema["$defs"].values()]
    for name in (name for model in models for name in model.get("properties", {})):
        assert re.search(rf"^(\.SS .*[ \"])?{name}:", text, re.MULTILINE), name
    assert "session_timeout: duration" in text
    assert "Default: 5m." in text


def test_an_example_keeps_its_lines(pages: Path) -> None:
    text = plain(pages / "clkeepalived.1")
    assert '\n.nf\nclkeepalived hold "$SESSION" --pid $$' in text


@needs("groff")
def test_they_are_well_formed(pages: Path) -> None:
    for page in sorted(pages.iterdir()):
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", page],
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
