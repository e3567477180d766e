"""Run `check-config` on a test's files, and parse its output."""

from __future__ import annotations

from collections.abc import Callable

from click.testing import Result

Check = Callable[..., Result]
"""Writes a configuration and checks it, with these variables in the environment."""


def errors(result: Result) -> list[str]:
    """Return the printed problems, without the final count."""
    assert result.exit_code == 78, result.output
    *problems, count = result.stderr.splitlines()
    assert count == f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
    assert result.stdout == ""
    return problems


def warnings(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.removeprefix("warning: ") for line in result.stderr.splitlines()]
