"""The session cache of govmomi itself: what it writes is found, and the vCenter takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keepalived.host.govc import CachedSession, cached_session
from tests.system import vcsim_peer
from tests.system.vcsim_peer import LOGIN, PASSWORD, USERNAME, VCSim, running

pytestmark = pytest.mark.timeout(
    300
)  # The first test waits for the compiler, which is slow at first.


@pytest.fixture(scope="module")
def govc_login(vcsim_binary: Path) -> Path:
    """A program that logs in as govc does."""
    binary = vcsim_binary.with_name("govc_login")
    vcsim_peer.build(binary, Path(__file__).with_name("govc_login"))
    return binary


@pytest.fixture
async def vcsim(vcsim_binary: Path) -> AsyncIterator[VCSim]:
    async with running(vcsim_binary) as vcsim:
        yield vcsim


async def log_in(program: Path, environ: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        program, env=environ, stdout=asyncio.subprocess.PIPE
    )
    await process.communicate()
    assert process.returncode == 0


async def look(environ: dict[str, str], home: Path) -> CachedSession | None:
    return await asyncio.to_thread(cached_session, environ, home)


async def user_of(session: CachedSession, vcsim: VCSim) -> object:
    token = {"vmware-api-session-id": session.token}
    reply = await vcsim.send("POST", f"{LOGIN}?~action=get", **token)
    assert isinstance(reply.value, dict)
    return reply.value["user"]


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("https://{user}:{password}@{host}/sdk", {}),
        ("{user}:{password}@{host}", {"GOVC_INSECURE": "true"}),
        ("{host}", {"GOVC_USERNAME": USERNAME, "GOVC_PASSWORD": PASSWORD}),
        ("other@{host}/", {"GOVC_USERNAME": USERNAME, "GOVC_PASSWORD": PASSWORD}),
        ("{host}", {"GOVC_USERNAME": "LAB\\j\u00fc (x)!*'~$&+,;=/?@a", "GOVC_PASSWORD": "x"}),
    ],
    ids=["whole URL", "no scheme", "variables", "variables first", "odd name"],
)
async def test_the_token_that_govmomi_has_cached_is_found_and_works(
    url: str, variables: dict[str, str], govc_login: Path, vcsim: VCSim, tmp_path: Path
) -> None:
    host = vcsim.url.removeprefix("https://")
    password = PASSWORD.replace(" ", "%20")
    address = url.format(user=USERNAME, password=password, host=host)
    environ = {"GOVC_URL": address, "HOME": str(tmp_path), **variables}
    assert await look(environ, tmp_path) is None

    await log_in(govc_login, environ)

    found = await look(environ, tmp_path)
    assert found is not None
    assert found.path.parent == tmp_path / ".govmomi/rest_sessions"
    assert await user_of(found, vcsim) == variables.get("GOVC_USERNAME", USERNAME)


async def test_the_folder_moves_with_govmomi_home(
    govc_login: Path, vcsim: VCSim, tmp_path: Path
) -> None:
    environ = {
        "GOVC_URL": f"{USERNAME}:x@{vcsim.url.removeprefix('https://')}",
        "HOME": str(tmp_path),
        "GOVMOMI_HOME": str(tmp_path / "elsewhere"),
    }

    await log_in(govc_login, environ)

    found = await look(environ, tmp_path)
    assert found is not None
    assert found.path.parent == tmp_path / "elsewhere/rest_sessions"
    assert await user_of(found, vcsim) == USERNAME


async def test_a_second_login_uses_the_session_that_is_cached(
    govc_login: Path, vcsim: VCSim, tmp_path: Path
) -> None:
    address = f"{USERNAME}:x@{vcsim.url.removeprefix('https://')}"
    environ = {"GOVC_URL": address, "HOME": str(tmp_path)}
    await log_in(govc_login, environ)
    first = await look(environ, tmp_path)

    await log_in(govc_login, environ)

    assert first is not None
    assert await look(environ, tmp_path) == first
