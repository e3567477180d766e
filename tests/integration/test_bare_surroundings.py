"""Surroundings that lack what is usually there: a home, a boot id, standard streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keepalived
from keepalived.cli.lending import token_reader
from keepalived.host import clock, govc
from keepalived.host.processes import Process, process
from keepalived.store.times import Times
from tests.support.cli import UNMEASURED

CLKEEPALIVED = f"{sys.executable} -m keepalived.cli"
GOOD = "vcenters: {lab: {url: 'http://127.0.0.1:9'}}\nhttp: {listen: '127.0.0.1:0'}\n"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpanded(path: str) -> str:
        return path  # as os.path.expanduser does without HOME, for an id without a name

    monkeypatch.setattr(os.path, "expanduser", unexpanded)
    monkeypatch.delenv("GOVMOMI_HOME", raising=False)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_there_is_no_cached_session() -> None:
    environ = {"GOVC_URL": "https://vc.example"}
    assert govc.home_directory() is None
    assert govc.cached_session(environ, govc.home_directory()) is None


@pytest.mark.usefixtures("homeless")
def test_lending_without_a_home_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOVC_URL", "https://vc.example")
    with pytest.raises(Exception, match="govc has no cached API session"):
        token_reader(None, govc_session=True)()


@pytest.mark.parametrize("ca_file", ["~no-such-user/ca.pem", "a\0b"])
def test_a_path_that_cannot_be_meant_is_an_invalid_argument(ca_file: str) -> None:
    with pytest.raises(keepalived.InvalidArguments, match="ca_file"):
        keepalived.hold("https://vc.example", "a:b", token="t", ca_file=ca_file)


def test_an_unknown_boot_is_never_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "missing")
    assert clock.boot_id() == ""
    own = process(os.getpid())
    assert Process.parse(str(own)) == own
    assert not Times("", wall_of_boot=1000.0).is_of("")
    assert Times("b", wall_of_boot=1000.0).is_of("b")


def run(line: str, folder: Path, **environ: str) -> tuple[int, str, str]:
    """Run a command of a shell; return its exit code, and what arrived on both streams."""
    (folder / "good.yaml").write_text(GOOD)
    done = subprocess.run(  # noqa: S602 - a line of our own
        line.format(c=CLKEEPALIVED, f=folder),
        shell=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**UNMEASURED, "PYTHONPATH": str(Path(keepalived.__file__).parents[1]), **environ},
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{c} check-config {f}/good.yaml >&-", 0),
        ("{c} check-config {f}/good.yaml >&- 2>&- <&-", 0),
        ("{c} check-config {f}/good.yaml 2>/dev/full", 0),
        ("{c} check-config {f}/missing 2>/dev/full", 78),
        ("{c} check-config {f}/missing 2>&-", 78),
        ("{c} status --socket {f}/none >&-", 69),
        ("{c} status --socket {f}/none 2>&-", 69),
        ("{c} status --socket {f}/none 2>/dev/full", 69),
        ("{c} serve --config {f}/missing 2>&-", 78),
        ("{c} nonsense 2>&-", 2),
        ("timeout -k 60 3 {c} serve --config {f}/good.yaml 2>&-", 124),
        ("timeout -k 60 3 {c} serve --config {f}/good.yaml 2>/dev/full", 124),
    ],
)
def test_streams_that_lead_nowhere_change_no_exit_code(
    line: str, code: int, tmp_path: Path
) -> None:
    returned, _, errors = run(line, tmp_path)
    assert (returned, "Traceback" in errors) == (code, False), errors


@pytest.mark.parametrize("line", ["{c} check-config {f}/good.yaml", "{c} --version", "{c} --help"])
def test_output_that_cannot_be_written_is_said(line: str, tmp_path: Path) -> None:
    returned, _, errors = run(f"{line} >/dev/full", tmp_path)
    assert returned == 1
    assert errors.splitlines()[-1] == (
        "clkeepalived: cannot write to standard output: No space left on device"
    )
    assert "Traceback" not in errors


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run as a user without a name")
def test_a_command_without_a_home_runs(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):  # noqa: S108
            folder.chmod(0o755)
    line = "env -u HOME setpriv --reuid 54321 --regid 54321 --clear-groups "
    line += "{c} exec --no-progress -- true"
    url = {"GOVC_URL": "http://127.0.0.1:9", "GOVC_USERNAME": "u", "GOVC_PASSWORD": "p"}
    returned, _, errors = run(line, tmp_path, **url)
    assert "Traceback" not in errors
    assert returned == 69, errors
