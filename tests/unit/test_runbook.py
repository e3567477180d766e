"""Every alert has its section, and what the runbook has people type is there to be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from keepalived.cli.main import main

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/prometheus/clkeepalived.rules.yml"
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
CONFIG = "/etc/clkeepalived/config.yaml"
INSTALLED = "file:///usr/share/doc/clkeepalived/docs/runbook.md#"

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
HEADINGS = re.findall(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)
# In a block of its own or within a line, up to its comment.
COMMANDS = sorted(
    {found.strip() for found in re.findall(r"(?m)(?:^|`)(clkeepalived [a-z][^`#\n]*)", RUNBOOK)}
)


def anchor(heading: str) -> str:
    """Return what a heading is linked by."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_there_is_a_section_for_each_alert_and_for_nothing_else() -> None:
    assert list(ALERTS) == HEADINGS


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_links_to_its_section_and_says_how_grave_it_is(name: str) -> None:
    rule = ALERTS[name]
    assert rule["annotations"]["runbook_url"] == INSTALLED + anchor(name)
    assert rule["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("name", ALERTS)
def test_each_section_says_what_it_means_and_what_to_do(name: str) -> None:
    section = RUNBOOK.partition(f"## {name}\n")[2].partition("\n## ")[0]
    for words in ("**Means:**", "**Lost if ignored:**", "**How to tell", "hat to do"):
        assert words in section, words


def test_links_within_it_lead_somewhere() -> None:
    targets = set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK))
    assert targets <= {anchor(heading) for heading in HEADINGS}


def parse(words: list[str]) -> None:
    """Parse a command's arguments with the real command line. Raises click.UsageError."""
    context = main.make_context("clkeepalived", words[:1])
    command = main.get_command(context, words[0])
    assert command is not None, words[0]
    command.make_context(words[0], words[1:], parent=context)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_one_that_the_program_takes(command: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.touch()
    for name, value in (('"$ID"', "a:b"), ("$$", "1"), ("FILE", str(file)), (CONFIG, str(file))):
        command = command.replace(name, value)
    parse(shlex.split(command)[1:])


def test_a_mistake_in_a_command_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse(["status", "--idel"])
    with pytest.raises(AssertionError):
        parse(["stats"])
