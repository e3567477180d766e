"""Installed into a tree, as packagers do; on a host, see test_systemd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import needs

pytestmark = [pytest.mark.hosts, needs("/usr/bin/python3"), pytest.mark.timeout(900)]

PREFIX = "/opt/packages"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    made = tmp_path_factory.mktemp("tree")
    subprocess.run([bundle / "install"], check=True, env=environ(made), stdout=subprocess.PIPE)
    return made


def environ(tree: Path) -> dict[str, str]:
    # No way to a package index, should anybody look for one.
    index = {"PIP_INDEX_URL": "http://127.0.0.1:1", "PIP_EXTRA_INDEX_URL": "", "PIP_RETRIES": "0"}
    return {**os.environ, **index, "DESTDIR": str(tree), "PREFIX": PREFIX}


def test_the_program_runs_from_there(tree: Path) -> None:
    python = tree / PREFIX[1:] / "lib/clkeepalived/bin/python"
    told = subprocess.run(
        [python, "-I", "-m", "keepalived.cli", "--version"], check=True, capture_output=True
    )
    assert b"clkeepalived, version" in told.stdout
    script = tree / PREFIX[1:] / "bin/clkeepalived"
    assert script.read_text().startswith(f"#!{PREFIX}/lib/clkeepalived/bin/python\n")


def test_nothing_in_it_knows_where_it_was_made(tree: Path) -> None:
    made_at = str(tree).encode()
    knowing = [
        path
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink() and made_at in path.read_bytes()
    ]
    assert knowing == []
    assert list(tree.rglob("*.new")) == []


def test_the_unit_starts_what_is_below_the_prefix(tree: Path) -> None:
    unit = tree / PREFIX[1:] / "lib/systemd/system/clkeepalived.service"
    lines = unit.read_text().splitlines()
    commands = [line.partition("=")[2] for line in lines if line.startswith("Exec")]
    assert commands
    assert all(each.startswith(f"{PREFIX}/bin/clkeepalived ") for each in commands)


def test_there_are_manual_pages_completions_and_examples(tree: Path) -> None:
    share = tree / PREFIX[1:] / "share"
    for file in (
        "man/man1/clkeepalived.1",
        "man/man5/clkeepalived.yaml.5",
        "bash-completion/completions/clkeepalived",
        "zsh/vendor-completions/_clkeepalived",
        "fish/vendor_completions.d/clkeepalived.fish",
        "doc/clkeepalived/config/clkeepalived.yaml",
        "doc/clkeepalived/notify-reload.conf",
    ):
        assert (share / file).stat().st_size > 0
    credentials = tree / "etc/clkeepalived/credentials"
    assert credentials.stat().st_mode & 0o777 == 0o700


def test_a_python_it_was_not_made_for_is_refused_in_words(tmp_path: Path, bundle: Path) -> None:
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho 3.9 x86_64\n")
    other.chmod(0o755)
    done = subprocess.run(
        [bundle / "install"],
        env={**environ(tmp_path / "tree"), "PYTHON": str(other)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is Python 3.9 x86_64" in done.stderr
    assert not (tmp_path / "tree").exists()


def test_an_upgrade_leaves_the_configuration_and_a_removal_nothing_else(
    tree: Path, bundle: Path
) -> None:
    config = tree / "etc/clkeepalived/config.yaml"
    config.write_text("mine\n")
    for command in ("install", "install", "uninstall"):
        subprocess.run([bundle / command], check=True, env=environ(tree), stdout=subprocess.PIPE)
    assert config.read_text() == "mine\n"
    left = [path.relative_to(tree) for path in tree.rglob("*") if not path.is_dir()]
    assert left == [Path("etc/clkeepalived/config.yaml")]
