"""Print what `make lock` pins for `make test-oldest`, as the input of pip-compile.

The program's own requirements, each at the lower bound that pyproject.toml allows, and the test
tools as dev.txt pins them. Run from the root of the checkout.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

# What only `make check` runs; their own requirements may be newer than our lower bounds.
LINTERS = {"import-linter", "mypy", "ruff", "types-pyyaml"}


def lower_bounds(project: dict[str, Any]) -> list[str]:
    """Turn each `name>=version` of the project's requirements into `name==version`."""
    listed = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        listed += extra
    bounds = []
    for requirement in listed:
        found = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if found is None:
            raise SystemExit(f"pyproject.toml: {requirement!r} is not of the form name>=version")
        bounds.append("{}=={}".format(*found.groups()))
    return bounds


def tools() -> list[str]:
    """Return the names in dev.in but the linters, each with its version in dev.txt."""
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", Path("requirements/dev.txt").read_text(), re.M))
    names = re.findall(r"^[\w][\w.-]*", Path("requirements/dev.in").read_text(), re.M)
    names = [name.lower() for name in names]
    return [f"{name}=={pinned[name]}" for name in names if name not in LINTERS]


if __name__ == "__main__":
    settings = tomllib.loads(Path("pyproject.toml").read_text())
    print(*lower_bounds(settings["project"]), *tools(), sep="\n")
