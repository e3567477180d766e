"""podman with a storage of its own: images from a Debian tree, and from the Containerfile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.system import debian

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/clkeepalived:test"
UPLOADER_IMAGE = "localhost/uploader:test"
_BARE_IMAGE = "localhost/bare:test"
_TAKEN = (
    ".containerignore",
    "Containerfile",
    "LICENSE",
    "README.md",
    "keepalived",
    "pyproject.toml",
    "requirements",
)

# What Debian 12 has works like this on a host whose cgroups are mixed or not its own.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
# A base image with Python and without a shell, as distroless ones are: what of a Debian tree it
# takes to run Python, and nothing that could be typed.
_NOT_IN_BARE = (
    "./usr/bin/*sh",
    "./bin/*sh",
    "./usr/bin/perl*",
    "./usr/bin/apt*",
    "./usr/bin/dpkg*",
    "./usr/bin/systemd*",
    "./usr/bin/journalctl",
    "./usr/bin/busctl",
    "./usr/bin/curl",
    "./usr/lib/systemd",
    "./usr/lib/python3/dist-packages",
    "./usr/lib/python3.11/ensurepip",
    "./usr/lib/x86_64-linux-gnu/perl*",
    "./usr/lib/x86_64-linux-gnu/systemd",
    "./usr/sbin",
    "./usr/share/bash-completion",
    "./usr/share/doc",
    "./usr/share/info",
    "./usr/share/locale",
    "./usr/share/man",
    "./usr/share/perl*",
    "./usr/share/python-wheels",
    "./usr/share/zoneinfo",
    "./var/cache",
    "./var/lib/apt",
    "./var/lib/dpkg",
    "./var/log",
)


class Podman:
    """One storage of images and containers, in a folder that is removed with everything in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        conf = folder / "containers.conf"
        conf.write_text(_CONTAINERS_CONF)
        self._environ = {**os.environ, "CONTAINERS_CONF": str(conf)}

    def command(self, *words: str) -> list[str]:
        """Return a podman command with all that it takes to find this storage."""
        return [
            "podman",
            f"--root={self._folder / 'storage'}",
            f"--runroot={self._folder / 'run'}",
            f"--tmpdir={self._folder / 'tmp'}",
            f"--network-config-dir={self._folder / 'networks'}",
            *words,
        ]

    def run(
        self, *words: str, check: bool = True, seconds: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a podman command, and return what it said."""
        done = subprocess.run(
            self.command(*words),
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"podman {words[0]}: {done.stderr[-3000:]}"
        return done

    def out(self, *words: str) -> str:
        return self.run(*words).stdout.strip()

    def inspect(self, *words: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.out("inspect", *words))
        return found[0]

    def import_debian(self) -> None:
        """Make an image of a whole Debian, and of one in which there is nothing but Python."""
        self.run("import", str(debian.tarball()), UPLOADER_IMAGE)
        tree = self._folder / "tree"
        debian.unpack(tree)
        packed = self._folder / "bare.tar"
        excluded = [f"--exclude={pattern}" for pattern in _NOT_IN_BARE]
        subprocess.run(["tar", "-c", "-f", packed, *excluded, "-C", tree, "."], check=True)
        self.run("import", str(packed), _BARE_IMAGE)
        packed.unlink()
        subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)

    def _context(self) -> Path:
        """Return a copy of the build's input, so that edits between two builds do not affect it."""
        context = self._folder / "context"
        if not context.exists():
            context.mkdir()
            ignored = shutil.ignore_patterns("__pycache__")
            for name in _TAKEN:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, context / name, ignore=ignored)
                else:
                    shutil.copy2(source, context / name)
        return context

    def build(self, *options: str) -> None:
        """Build the image, from wheels that were fetched before, by hash."""
        wheels = self._folder / "wheels"
        lists = [f"--requirement=requirements/{name}.txt" for name in ("base", "speed", "build")]
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "-qq", "download", "--require-hashes"),
                *("--no-deps", "--only-binary=:all:", f"--dest={wheels}", *lists),
            ],
            cwd=ROOT,
            check=True,
        )
        self.run(
            "build",
            "--isolation=chroot",
            "--format=docker",
            "--timestamp=1700000000",
            "--build-arg=SOURCE_DATE_EPOCH=1700000000",
            f"--build-arg=BUILD_IMAGE={UPLOADER_IMAGE}",
            f"--build-arg=BASE_IMAGE={_BARE_IMAGE}",
            "--build-arg=PIP_NO_INDEX=1",
            "--build-arg=PIP_FIND_LINKS=/wheels",
            f"--volume={wheels}:/wheels:ro",
            f"--tag={IMAGE}",
            *options,
            str(self._context()),
            seconds=300.0,
        )

    def size(self, image: str) -> int:
        """Return how many bytes an image has, what it stands on included."""
        return int(self.inspect("--type=image", image)["Size"])

    def base_size(self) -> int:
        """Return how many bytes of the image are its base."""
        return self.size(_BARE_IMAGE)

    def remove_everything(self) -> None:
        """End every container of this storage, and remove all that is in it."""
        self.run("pod", "rm", "--all", "--force", "--time=0", check=False)
        self.run("rm", "--all", "--force", "--time=0", check=False)
        self.run("rmi", "--all", "--force", check=False)
