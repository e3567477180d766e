"""Real peers for the tests of this folder, which `make system` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.system import vcsim_peer
from tests.system.podman import Podman
from tests.system.vcsim_peer import VCSim


class StartVCSim(Protocol):
    """Starts a vcsim whose API sessions idle out after `idle` seconds, or twice that at most.

    The content of each file is on its way for `transfer` seconds.
    """

    async def __call__(self, *, idle: float = 1800.0, transfer: float = 0.0) -> VCSim: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def vcsim_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vcsim, compiled. Where it cannot be: a failure in CI, and a skip elsewhere."""
    if missing := vcsim_peer.missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"vcsim needs {missing}")
        pytest.skip(f"vcsim needs {missing}")
    binary = tmp_path_factory.mktemp("vcsim") / "vcsim"
    vcsim_peer.build(binary)
    return binary


@pytest.fixture
async def start_vcsim(vcsim_binary: Path) -> AsyncIterator[StartVCSim]:
    """A function that starts a vcsim; each is stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(*, idle: float = 1800.0, transfer: float = 0.0) -> VCSim:
            running = vcsim_peer.running(
                vcsim_binary, idle_timeout=f"{idle}s", transfer=f"{transfer}s"
            )
            return await stack.enter_async_context(running)

        yield start


@pytest.fixture(scope="session")
def govmomi_upload(vcsim_binary: Path) -> Path:
    """A program that uploads with govmomi, compiled: `-item ITEM_ID -put 7s FILE`, by GOVC_*."""
    binary = vcsim_binary.with_name("govmomi_upload")
    vcsim_peer.build(binary, Path(__file__).with_name("govmomi_upload"))
    return binary


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make bundle` packs: an installation for hosts like this one."""
    folder = tmp_path_factory.mktemp("bundle") / "clkeepalived"
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([root / "installer/bundle", folder], check=True, env=environ)
    return folder


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """podman, with the image built."""
    made = Podman(tmp_path_factory.mktemp("podman"))
    try:
        made.import_debian()
        made.build()
        yield made
    finally:
        made.remove_everything()
