"""Print the public contract as text, for comparison (`make contract`).

It contains the help of all commands, the library, the configuration's schema, the control API, the
metrics with their labels, and the events of the log and of the stream with their fields. Metrics
and events are those seen while the tests of the whole daemon run; others are missing.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from prometheus_client.parser import text_string_to_metric_families

import keepalived
from keepalived.cli.main import main
from keepalived.control.openapi import describe
from keepalived.control.routes import ROUTES
from keepalived.settings.schema import schema
from tests.support.recorded import FOLDER

TESTS = ("tests/unit/test_chain.py", *map(str, sorted(Path("tests/unit").glob("test_daemon_*.py"))))

_OF_EACH_LINE = {"event", "level", "timestamp", "at"}


def commands(command: click.Command, context: click.Context) -> Iterator[str]:
    """Return the help of a command and all its subcommands."""
    yield f"\n$ {context.command_path} --help\n{command.get_help(context)}"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            inner = click.Context(found, parent=context, info_name=name, terminal_width=80)
            yield from commands(found, inner)


def library() -> Iterator[str]:
    """Return the package's exports: signatures of functions, and public members of classes."""
    for name in sorted(keepalived.__all__):
        found = getattr(keepalived, name)
        if not inspect.isclass(found):
            yield f"{name}{inspect.signature(found)}"
            continue
        own = [each for each in found.__mro__ if each.__module__.startswith("keepalived")]
        parts = {part for each in own for part in vars(each) if not part.startswith("_")}
        yield f"class {name}: {', '.join(sorted(parts))}"


def events(lines: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Return each event with its levels, if any, and the fields seen."""
    levels, fields = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for line in lines:
        fields[line["event"]].update(line.keys() - _OF_EACH_LINE)
        levels[line["event"]].update([line["level"]] if "level" in line else [])
    for event in sorted(fields):
        level = f" ({', '.join(sorted(levels[event]))})" if levels[event] else ""
        yield f"{event}{level}: {', '.join(sorted(fields[event]))}"


def metrics(scrapes: Iterable[str]) -> Iterator[str]:
    """Return each sample's name with its type and labels."""
    found = {
        f"{sample.name} ({family.type}): {', '.join(sorted(sample.labels))}"
        for scrape in scrapes
        for family in text_string_to_metric_families(scrape)
        for sample in family.samples
    }
    return iter(sorted(found))


def seen_by_tests() -> dict[str, list[Any]]:
    """Run the tests, and return their records. Raises CalledProcessError if one fails."""
    found = defaultdict[str, list[Any]](list)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "--numprocesses", "auto", *TESTS]
        environ = {**os.environ, FOLDER: folder}
        subprocess.run(command, env=environ, check=True, stdout=sys.stderr)
        for path in Path(folder).iterdir():
            for line in path.read_text().splitlines():
                ((part, what),) = json.loads(line).items()
                found[part].append(what)
    return found


def contract() -> Iterator[str]:
    """Return the whole contract, in lines and paragraphs."""
    found = seen_by_tests()
    yield "# Commands"
    yield from commands(main, click.Context(main, info_name="clkeepalived", terminal_width=80))
    yield from ("\n# Library\n", *library())
    yield f"\n# Configuration\n\n{schema()}"
    api = describe(ROUTES, "")
    yield f"# Control API\n\n{json.dumps(api, indent=1, sort_keys=True, ensure_ascii=False)}"
    yield from ("\n# Metrics\n", *metrics(found["metrics"]))
    yield from ("\n# Events of the log\n", *events(found["log"]))
    yield from ("\n# Events of the stream\n", *events(found["stream"]))


if __name__ == "__main__":
    print(*contract(), sep="\n")
