"""The API session of a wrapped uploader: kept alive where its token can be had, said where not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.cli import Ran, line_of
from tests.support.exec import UPLOADER, Place, ended, image, place, waiting
from tests.support.pty import until
from tests.support.uploader import log_in_at

LIFETIME = 2.0
"""Seconds, as far as `exec` knows: it refreshes a token every second."""

IDLE, SHORT_IDLE = 16.0, 2.0
"""Seconds that a token idles before the vCenter forgets it; short where nothing refreshes it."""

extended = pytest.mark.extended

UNKNOWN = "the command's API session is not kept alive"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Place]:
    how = {"served_lifetime": 8 * LIFETIME, "token_idle_timeout": IDLE}
    async with place(tmp_path, LIFETIME, **how) as opened:
        yield opened


@pytest.fixture
def forgetful(lab: Place) -> None:
    """Let the vCenter forget tokens soon."""
    lab.simulator.logins.idle_timeout = SHORT_IDLE


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    return image(tmp_path)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
async def lent(lab: Place, token_file: Path) -> str:
    """Log in for the uploader, and write its token where both find it."""
    token = await asyncio.to_thread(log_in_at, lab.environment)
    lab.keep_token(token)
    write(token_file, token)
    return token


def write(token_file: Path, token: str) -> None:
    token_file.touch(mode=0o600)
    token_file.write_text(token + "\n")


def upload(iso: Path, token_file: Path, seconds: float = 2 * SHORT_IDLE) -> tuple[str, ...]:
    """One PUT that takes so long, with a token from a file."""
    return (*UPLOADER, str(iso), "--put", str(seconds), "--use-token", str(token_file))


async def kept_fresh(
    lab: Place, iso: Path, token_file: Path, *options: str, item: str = "templates/image"
) -> Ran:
    """Upload under `exec`, with a PUT that lasts until the token was refreshed three times."""
    go_on = iso.with_suffix(".go on")
    words = ("--put", str(go_on), "--use-token", str(token_file), "--item", item)
    ledger, before = lab.simulator.ledger, refreshed(lab)
    async with lab.started(*options, "--", *UPLOADER, str(iso), *words) as process:
        await until(lambda: ledger.requests("update_session_file.add"))
        await until(
            lambda: any(count >= before[login] + 3 for login, count in refreshed(lab).items()),
            lambda: str(refreshed(lab)),
        )
        go_on.touch()
        return await ended(process)


def refreshed(lab: Place) -> Counter[str]:
    """Return how often it was asked whose each token is."""
    return Counter(each.login for each in lab.simulator.ledger.requests("session.get"))


def cache(lab: Place, token: str) -> Path:
    """Leave a token where govc caches its own, as govmomi's session cache names it."""
    user = quote(lab.environment["GOVC_USERNAME"], safe="")
    key = lab.url.replace("://", f"://{user}@") + "/rest#insecure=false"
    folder = Path(lab.environment["GOVMOMI_HOME"]) / "rest_sessions"
    folder.mkdir(parents=True)
    path = folder / hashlib.sha256(key.encode()).hexdigest()
    path.touch(mode=0o600)
    path.write_text(json.dumps({"SessionID": token}))
    return path


@extended
async def test_a_long_put_loses_the_token_of_an_uploader_that_is_alone(
    lab: Place, iso: Path, forgetful: None, lent: str, token_file: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *upload(iso, token_file), env=lab.environment, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    assert b"was answered by 401" in err


async def test_a_token_from_a_file_is_kept_fresh_during_the_put(
    lab: Place, iso: Path, lent: str, token_file: Path
) -> None:
    ran = await kept_fresh(lab, iso, token_file, "--token-file", str(token_file))

    assert ran.code == 0, ran.err
    assert f"the API session of {token_file} is kept alive\n" in ran.err
    assert "templates/image version 1→2, content arrived" in ran.err.splitlines()[-1]
    assert UNKNOWN not in ran.err
    assert lent not in ran.err + ran.out
    assert not lab.simulator.ledger.requests("session.delete")  # what was lent is not logged out


@extended
async def test_a_token_from_a_file_outlives_the_put(
    lab: Place, iso: Path, lent: str, token_file: Path
) -> None:
    command = upload(iso, token_file, IDLE + 1)

    ran = await lab.exec("--token-file", str(token_file), "--", *command)

    assert ran.code == 0, ran.err


@extended
async def test_the_token_that_govc_has_cached_is_lent_without_being_asked_for(
    lab: Place, iso: Path, lent: str, token_file: Path
) -> None:
    cache(lab, lent)

    ran = await kept_fresh(lab, iso, token_file)

    assert ran.code == 0, ran.err
    assert "govc's cached session is kept alive; other API sessions are not\n" in ran.err
    assert lent not in ran.err + ran.out


@extended
async def test_a_token_that_govc_caches_later_is_found(
    lab: Place, iso: Path, lent: str, token_file: Path
) -> None:
    async with lab.started("--", *waiting(Path("/never"))) as process:
        await line_of(process.stdout, "begun")
        cache(lab, lent)
        assert process.stderr is not None
        await line_of(process.stderr, "govc's cached session is kept alive")


@extended
async def test_where_it_cannot_be_had_that_is_said_before_the_upload_starts(
    lab: Place, iso: Path, lent: str, token_file: Path
) -> None:
    async with lab.started("--", "sh", "-c", "echo the upload starts >&2") as process:
        _, err = await process.communicate(b"")

    *before, last = [line for line in err.decode().splitlines() if "was found" not in line]
    assert UNKNOWN in before[-1]
    assert last == "the upload starts"


@extended
async def test_where_it_could_not_be_had_the_end_says_so_too(lab: Place, iso: Path) -> None:
    go_on = iso.with_suffix(".go on")
    async with lab.started("--", *UPLOADER, str(iso), "--put", str(go_on)) as process:
        await lab.until_held()
        go_on.touch()
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert "the command's API session was not kept alive" in ran.err.splitlines()[-2]


@extended
async def test_govcs_cache_is_left_alone_where_that_is_wanted(
    lab: Place, iso: Path, forgetful: None, lent: str, token_file: Path
) -> None:
    cache(lab, lent)

    ran = await lab.exec("--no-govc-session", "--", *upload(iso, token_file))

    assert ran.code == 1, ran.err
    assert "was answered by 401" in ran.err
    assert UNKNOWN in ran.err


@extended
async def test_a_token_is_lent_to_no_other_vcenter(lab: Place, iso: Path, lent: str) -> None:
    cache(lab, lent)
    elsewhere = "https://other.example.org"

    tried = await lab.exec("--", "true", GOVC_URL=elsewhere)
    wanted = await lab.exec("--govc-session", "--", "true", GOVC_URL=elsewhere)

    assert (tried.code, UNKNOWN in tried.err) == (0, True)
    assert wanted.code == 2
    assert "GOVC_URL does not name the vCenter lab" in wanted.err


@extended
async def test_a_cache_that_others_may_read_is_not_used_and_that_is_said(
    lab: Place, lent: str
) -> None:
    cache(lab, lent).chmod(0o644)

    ran = await lab.exec("--", "true")
    wanted = await lab.exec("--govc-session", "--", "true")

    assert ran.code == 0, ran.err
    assert "warning: govc's cached session is not used: " in ran.err
    assert "--no-govc-session" in ran.err
    assert wanted.code == 1
    assert lent not in ran.err + wanted.err


async def test_a_token_that_is_no_good_from_the_start_is_said(
    lab: Place, token_file: Path, iso: Path
) -> None:
    write(token_file, "not\none")

    ran = await lab.exec("--token-file", str(token_file), "--", "true")

    assert ran.code == 1, ran.err
    assert f"--token-file {token_file}: " in ran.err
    assert not lab.simulator.ledger.total


@extended
async def test_a_token_that_was_dead_before_is_said_and_the_upload_goes_on_without_it(
    lab: Place, token_file: Path, iso: Path
) -> None:
    write(token_file, "long-forgotten")

    go_on = iso.with_suffix(".go on")
    command = (*UPLOADER, str(iso), "--gap", str(go_on))
    async with lab.started("--token-file", str(token_file), "--", *command) as process:
        await lab.until_held()
        go_on.touch()
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert f"clkeepalived: warning: the API session of {token_file} has ended (401)" in ran.err
    assert "templates/image version 1→2, content arrived" in ran.err.splitlines()[-1]
    assert f"the API session of {token_file} ended before the command did" in ran.err
    assert "long-forgotten" not in ran.err


@extended
async def test_a_token_that_dies_is_said_and_a_fresh_one_taken(
    lab: Place, iso: Path, lent: str, token_file: Path
) -> None:
    command = ("--token-file", str(token_file), "--", *UPLOADER, str(iso), "--put", "/never")
    async with lab.started(*command) as process:
        assert process.stderr is not None
        await line_of(process.stderr, "is kept alive")
        lab.simulator.logins.forget_all()
        await line_of(process.stderr, "has ended (401)")
        write(token_file, await asyncio.to_thread(log_in_at, lab.environment))
        await line_of(process.stderr, "is kept alive")


@extended
async def test_two_execs_lend_what_is_theirs(lab: Place, tmp_path: Path) -> None:
    async def run(name: str) -> str:
        path = tmp_path / f"{name}.token"
        token = await asyncio.to_thread(log_in_at, lab.environment)
        lab.keep_token(token)
        write(path, token)
        file = image(tmp_path, f"{name}.iso")
        item = f"templates/{name}"
        ran = await kept_fresh(lab, file, path, "--token-file", str(path), item=item)
        assert ran.code == 0, ran.err
        return ran.err.splitlines()[-1]

    lines = await asyncio.gather(run("one"), run("two"))

    assert [each.split()[1] for each in lines] == ["templates/one", "templates/two"]
