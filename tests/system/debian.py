"""A Debian to put into machines and images: made once by debootstrap, and kept packed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,curl"
_RELEASE = "bookworm"


def cache() -> Path:
    """Return the folder that `.ci/run` keeps things in as well."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home, "clkeepalived-ci")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tarball() -> Path:
    """Return the packed tree; the first time, it takes about a minute to make."""
    kept = cache() / f"{_RELEASE}-{PACKAGES}.tar"
    if kept.exists():
        return kept
    part = kept.with_name(kept.name + f".{os.getpid()}")
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        tree = Path(folder, "tree")
        subprocess.run(
            [
                # Its mounts end with it, so that the folder can be removed whatever happens.
                *("unshare", "--mount", "--fork", "--kill-child"),
                *("debootstrap", "--variant=minbase", f"--include={PACKAGES}"),
                *(_RELEASE, str(tree)),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for waste in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(tree / waste)
        subprocess.run(["tar", "-c", "-f", part, "-C", tree, "."], check=True)
    part.replace(kept)
    return kept


def unpack(tree: Path) -> None:
    """Unpack the tree into a folder that is not there yet."""
    tree.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-p", "-f", tarball(), "-C", tree], check=True)
