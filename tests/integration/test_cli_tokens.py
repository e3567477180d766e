"""Tokens and files that the command line lends and measures, and what it says of them later."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from keepalived.lease.model import Kind, SessionKey, State
from tests.support.cli import Ran, line_of, run, started
from tests.support.control import Control
from tests.support.simulator import api_caller

SECRET = "5eCre7-of-the-uploader"


def is_silent(secret: str, *runs: Ran) -> bool:
    return not any(secret in ran.out + ran.err for ran in runs)


def lent(control: Control, session_id: str) -> list[str | None]:
    """Return the tokens of a session's holds."""
    return [hold.token.value if hold.token else None for hold in control.holds(session_id)]


async def a_token(control: Control) -> str:
    return (await api_caller(control.simulators["lab"])).token


async def test_a_token_comes_from_a_file_or_from_stdin(control: Control, tmp_path: Path) -> None:
    first, second, third = [await a_token(control) for _ in range(3)]
    session_id, file = control.open(), tmp_path / "token"
    file.write_text(f"{first}\n")

    held = await run(control.path, "hold", session_id, "--no-owner", "--token-file", str(file))
    is_first = lent(control, session_id) == [first]
    how = {"stdin": second + "\n"}
    again = await run(control.path, "hold", session_id, "--no-owner", "--token-file", "-", **how)
    is_second = lent(control, session_id) == [second]
    file.write_text(third)
    told = await run(control.path, "progress", session_id, "5", "--token-file", str(file))
    is_third = lent(control, session_id) == [third]

    assert (held.code, again.code, told.code) == (0, 0, 0)
    assert (is_first, is_second, is_third) == (True, True, True)
    assert [hold.progress.percent for hold in control.holds(session_id)] == [5]


@pytest.mark.extended
async def test_what_is_no_token_is_refused_without_repeating_it(
    control: Control, tmp_path: Path
) -> None:
    session_id, file = control.open(), tmp_path / "token"
    await run(control.path, "hold", session_id, "--no-owner")
    runs = []
    for content in (f"{SECRET} {SECRET}", f"{SECRET}\x07", f"{SECRET}ü", SECRET * 1000, ""):
        file.write_text(content)
        runs.append(await run(control.path, "progress", session_id, "--token-file", str(file)))
    runs.append(await run(control.path, "progress", session_id, "--token-file", "-", stdin=" "))

    assert is_silent(SECRET, *runs)
    assert [ran.code for ran in runs] == [1] * 6
    assert all("API token" in ran.err for ran in runs)
    assert lent(control, session_id) == [None]


@pytest.mark.extended
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["progress", "1"], 2, "or a token to lend"),
        (["progress", "1", "-", "--token-file", "/dev/null"], 2, "use a separate command"),
        (["progress", "1", "--token-file", "/nowhere"], 1, "/nowhere: No such file"),
        (
            ["hold", "1", "--no-owner", "--token-file", "x", "--govc-session"],
            2,
            "cannot be combined",
        ),
        (["hold", "1", "--no-owner", "--path", "/nowhere"], 1, "/nowhere: No such file"),
        (["hold", "1", "--no-owner", "--path", "/dev/null"], 2, "not a regular file"),
        (
            ["hold", "1", "--no-owner", "--path", "/", "--bytes-total", "1"],
            2,
            "--path and --bytes-total cannot",
        ),
        (
            ["hold", "1", "--no-owner", "--path", "/", "--progress", "1"],
            2,
            "--path and --progress cannot",
        ),
    ],
)
async def test_what_cannot_be_lent_or_measured_is_said(
    control: Control, words: list[str], code: int, told: str
) -> None:
    ran = await run(control.path, *words)
    assert ran.code == code, ran.err
    assert told in " ".join(ran.err.split())


def shown_to_everybody(pid: int) -> str:
    """Return what process lists show."""
    return "".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ"))


@pytest.mark.extended
async def test_govc_s_session_is_lent(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith("GOVC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GOVC_URL", "https://uploader@vcsa.lab.example/sdk")
    monkeypatch.setenv("GOVC_INSECURE", "true")
    monkeypatch.setenv("GOVMOMI_HOME", str(tmp_path))
    session_id, token = control.open(), await a_token(control)
    words = ["hold", session_id, "--no-owner", "--govc-session"]

    none = await run(control.path, *words)
    cached_by_govc(tmp_path, "https://uploader@vcsa.lab.example/rest#insecure=true", token)
    held = await run(control.path, *words)
    is_lent = lent(control, session_id) == [token]

    assert (none.code, none.err.startswith("Error: --govc-session: ")) == (1, True)
    assert held.code == 0, held.err
    assert is_lent


def cached_by_govc(home: Path, address: str, token: str) -> None:
    """Keep an API session as govc does."""
    cache = home / "rest_sessions"
    cache.mkdir()
    file = cache / hashlib.sha256(address.encode()).hexdigest()
    file.touch(0o600)
    file.write_text(json.dumps({"SessionID": token}))


async def test_a_token_is_in_no_argument_list(control: Control) -> None:
    session_id, token = control.open(), await a_token(control)
    words = ["hold", session_id, "--while-connected", "--token-file", "-"]
    async with started(control.path, *words) as process:
        assert process.stdin is not None
        process.stdin.write(token.encode())
        process.stdin.close()
        await line_of(process.stdout, "holding")
        is_lent = lent(control, session_id) == [token]
        is_shown = token in shown_to_everybody(process.pid)
    assert is_lent
    assert not is_shown


@pytest.mark.extended
async def test_who_comes_back_lends_what_the_file_says_by_then(
    control: Control, tmp_path: Path
) -> None:
    first, second = await a_token(control), await a_token(control)
    session_id, file = control.open(), tmp_path / "token"
    file.write_text(first)
    words = ["hold", session_id, "--while-connected", "--token-file", str(file)]
    async with started(control.path, *words) as process:
        await line_of(process.stdout, "holding")
        is_first = lent(control, session_id) == [first]
        await control.stop()
        file.write_text(second)
        await line_of(process.stderr, "trying to reconnect")
        await control.start()
        await line_of(process.stdout, "again")
        is_second = lent(control, session_id) == [second]
    assert (is_first, is_second) == (True, True)


@pytest.mark.extended
async def test_a_path_says_how_many_bytes_there_are_and_nothing_else(
    control: Control, tmp_path: Path
) -> None:
    session_id, file = control.open(), tmp_path / "disk.vmdk"
    with file.open("wb") as content:
        os.truncate(content.fileno(), 3 << 40)

    ran = await run(
        control.path, "hold", session_id, "--no-owner", "--path", str(file), "--bytes-done", "7"
    )

    assert ran.code == 0, ran.err
    [hold] = control.holds(session_id)
    assert (hold.progress.done, hold.progress.total) == (7, 3 << 40)
    assert "disk.vmdk" not in repr(hold)


@pytest.mark.extended
async def test_a_refused_token_is_told_with_what_to_do(control: Control, tmp_path: Path) -> None:
    token, session_id, file = await a_token(control), control.open(), tmp_path / "token"
    file.write_text(token)
    words = ["hold", session_id, "--no-owner", "--token-file", str(file)]
    async with started(control.path, "events", session_id) as events:
        await line_of(events.stdout, "listening")
        await run(control.path, *words)
        good = await run(control.path, "status", session_id)
        control.simulators["lab"].logins.log_out(token)
        await run(control.path, "renew", session_id)
        told = await line_of(events.stdout, "token")
    bad = await run(control.path, "status", session_id)
    again = await run(control.path, *words)
    very = await run(control.path, "progress", session_id, "--token-file", str(file))
    file.write_text(await a_token(control))
    fresh = await run(control.path, "progress", session_id, "--token-file", str(file))

    assert "API token lent" in good.out
    assert "lend a new one with `clkeepalived progress ID --token-file FILE`" in told
    assert "its API token was refused: lend a new one" in bad.out
    assert (again.code, again.err.startswith("Warning: its API token was refused")) == (0, True)
    assert (very.code, "refused this token" in very.err) == (1, True)
    assert (fresh.code, fresh.err) == (0, "")


@pytest.mark.extended
@pytest.mark.parametrize("kind", Kind)
async def test_every_command_works_on_sessions_of_each_kind(control: Control, kind: Kind) -> None:
    session_id = control.open(kind=kind)
    key = SessionKey("lab", kind, session_id)
    options = ["--kind", kind.value]

    async def good(*words: str) -> str:
        ran = await run(control.path, *words, *options)
        assert ran.code == 0, ran.err
        return ran.out

    async def state() -> State | None:
        session = control.registry.find(key)
        return session.state if session else None

    await good("hold", session_id, "--ttl", "1m")
    assert "renewed" in await good("renew", session_id)
    await good("progress", session_id, "30")
    assert f"{kind} session of lab" in await good("status", session_id)
    assert session_id in await good("sessions")
    listed = (await run(control.path, "status")).out
    assert kind.value in listed.splitlines()[1].split()
    await good("release", session_id)
    assert await state() is State.RELEASED
    await good("hold", session_id, "--no-owner")
    assert "cancelled" in await good("cancel", session_id, "--yes")
    ledger = control.simulators["lab"].ledger
    assert ledger.requests(f"{kind}_session.keep_alive", session_id=session_id)
    assert ledger.requests(f"{kind}_session.cancel", session_id=session_id)
