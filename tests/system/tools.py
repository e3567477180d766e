"""The tools of docs/how-to that can be had, kept once made: Ansible, one collection, and govc."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.debian import cache

_LOCK = Path(__file__).parents[2] / "requirements/howto.txt"
_COLLECTION = "ansible_collections/vmware/vmware/"

_SOURCE = "golang-github-vmware-govmomi"
_PRETTY = Path("/usr/share/gocode/src/github.com/kr/pretty")
_GOVC = Path(__file__).with_name("govc")
_GOVMOMI = "github.com/vmware/govmomi"


def ansible() -> Path:
    """Return a folder with Ansible's core, run by this Python, and `vmware.vmware`.

    Of the distribution `ansible`, which is a hundred times as large, only that collection is
    unpacked.
    """
    return _kept(f"ansible-{_digest(_LOCK.read_bytes(), sys.executable.encode())}", _make_ansible)


def govc() -> Path:
    """Return a folder with govc, built from Debian's source of govmomi.

    Where it cannot be built: a failure in CI, and a skip elsewhere.
    """
    if not _PRETTY.is_dir():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("govc needs Debian's golang-github-kr-pretty-dev")
    return _kept(f"govc-{_digest((_GOVC / 'main.go').read_bytes())}", _make_govc)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    kept = cache() / name
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as scratch:
            made = Path(scratch, "made")
            made.mkdir()
            make(made)
            try:
                made.rename(kept)
            except OSError:
                assert kept.exists()  # another process was faster
    return kept


def _make_ansible(folder: Path) -> None:
    locked = re.split(r"\n(?=[a-z])", _LOCK.read_text())
    whole = [each for each in locked if each.startswith("ansible==")]
    rest = [each for each in locked if each not in whole and not each.startswith("#")]
    assert len(whole) == 1
    for name, lines in (("whole", whole), ("rest", rest)):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    pip = (sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input")
    exact = ("--require-hashes", "--no-deps")
    _run(*pip, "install", *exact, "--target", folder, "--requirement", folder / "rest.txt")
    _run(*pip, "download", *exact, "--dest", folder, "--requirement", folder / "whole.txt")
    (wheel,) = folder.glob("ansible-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(_COLLECTION)]
        archive.extractall(folder, names)
    wheel.unlink()


def _make_govc(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = _debian_source(Path(scratch))
        # All but govc itself is in Debian's package, and perhaps compiled already.
        overlay = Path(scratch, "overlay", "src", _GOVMOMI)
        overlay.mkdir(parents=True)
        (source / "govc").rename(overlay / "govc")
        gopath = f"{scratch}/overlay:/usr/share/gocode"
        environ = {"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": gopath}
        _run("go", "build", "-o", folder / "govc", ".", cwd=_GOVC, **environ)


def _debian_source(folder: Path) -> Path:
    """Fetch and unpack a source package, from where this machine has its packages from."""
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    entry = "deb-src [signed-by=$(SIGNED_BY)] $(REPO_URI) $(RELEASE) $(COMPONENT)"
    wanted = ("Created-By: Packages", "Origin: Debian", "Component: main")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", entry, *wanted, f"Codename: {codename}"],
        capture_output=True,
        text=True,
        check=True,
    )
    entries = {
        # Where apt's own keys are used, there is no path to give.
        line.replace("[signed-by=] ", "").replace("[signed-by=$(SIGNED_BY)] ", "")
        for line in listed.stdout.splitlines()
    }
    assert entries, "apt knows of no packages: apt-get update"
    (folder / "sources.list").write_text("\n".join(sorted(entries)) + "\n")
    (folder / "lists/partial").mkdir(parents=True)
    options = (
        *("-o", f"Dir::Etc::sourcelist={folder}/sources.list"),
        *("-o", "Dir::Etc::sourceparts=/dev/null"),
        *("-o", f"Dir::State::lists={folder}/lists"),
        *("-o", "APT::Sandbox::User=root"),
    )
    _run("apt-get", "-qq", *options, "update")
    _run("apt-get", "-qq", *options, "source", "--download-only", _SOURCE, cwd=folder)
    (packed,) = folder.glob("*.orig.tar.*")
    _run("tar", "-x", "-f", packed, "-C", folder)
    (source,) = folder.glob("govmomi-*")
    return source


def _run(*words: str | Path, cwd: Path | None = None, **environ: str) -> None:
    subprocess.run(list(words), check=True, cwd=cwd, env={**os.environ, **environ})
