"""Read a configuration as the program does, and return its problems and warnings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keepalived.settings import ConfigError, Settings, load_settings

LAB = """\
vcenters:
  lab:
    url: https://vcsa.lab.example/sdk
    username: uploader@vsphere.local
    password_env: LAB_PASSWORD
"""
PROD = """\
  prod:
    url: https://vcsa.prod.example
    username: uploader@vsphere.local
    password_env: LAB_PASSWORD
"""
SECRET = "hunter2"
PEM = "-----BEGIN CERTIFICATE-----\n"


@dataclass(frozen=True)
class Checked:
    """The settings, if valid, and all problems and warnings as they are printed."""

    settings: Settings | None
    problems: list[str]
    warnings: list[str]

    def __post_init__(self) -> None:
        assert SECRET not in "\n".join([*self.problems, *self.warnings])


def checked(path: Path | None, environ: Mapping[str, str]) -> Checked:
    """Read the configuration at a path. Paths at the start of messages are cut to the file name."""
    folder = "" if path is None else f"{path.parent}{os.sep}"
    try:
        loaded = load_settings(path, environ)
    except ConfigError as error:
        return Checked(None, [str(each).removeprefix(folder) for each in error.problems], [])
    warnings = [each.removeprefix(folder) for each in loaded.warnings]
    return Checked(loaded.settings, [], warnings)


def check(folder: Path, content: str | bytes, **environ: str) -> Checked:
    """Write `config.yaml` into a folder and read it."""
    path = folder / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return checked(path, {"LAB_PASSWORD": SECRET, **environ})


def errors(result: Checked) -> list[str]:
    """Return the problems of an invalid configuration."""
    assert result.settings is None
    return result.problems


def warnings(result: Checked) -> list[str]:
    """Return the warnings about a valid configuration."""
    assert result.settings is not None, result.problems
    return result.warnings
