"""The commands that talk to the daemon, as processes, at a real control socket."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from keepalived.lease.holds import OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.settings import Reloaded
from keepalived.simulator.faults import Fail
from tests.support.cli import Ran, line_of, run, started, surroundings
from tests.support.control import Control, running_control
from tests.support.users import NOBODY, needs_root, open_directory


def state(control: Control, session_id: str) -> State | None:
    session = control.registry.find(SessionKey("lab", Kind.UPDATE, session_id))
    return None if session is None else session.state


async def good(control: Control, *words: str, stdin: str = "") -> str:
    """Run a command that has to succeed, and return what it says."""
    ran = await run(control.path, *words, stdin=stdin)
    assert (ran.code, ran.err) == (0, ""), ran
    return ran.out


async def bad(control: Control, *words: str, stdin: str = "") -> Ran:
    """Run a command that has to fail."""
    ran = await run(control.path, *words, stdin=stdin)
    assert ran.code != 0, ran
    assert "Traceback" not in ran.err
    return ran


# -- holds


async def test_a_hold_lives_with_a_process(control: Control) -> None:
    session_id = control.open()
    child = await asyncio.create_subprocess_exec("sleep", "60")
    said = await good(control, "hold", session_id, "--pid", str(child.pid), "--note", "nightly")

    assert said.startswith(f"holding {session_id} of lab until process {child.pid} ends (")
    (hold,) = control.holds(session_id)
    assert (hold.owner.kind, hold.note) == (OwnerKind.PROCESS, "nightly")
    child.kill()
    await child.wait()
    await control.until(lambda: state(control, session_id) is State.RELEASED)


async def test_a_time_limit_begins_anew_with_each_word_of_progress(control: Control) -> None:
    session_id = control.open()
    await good(control, "hold", session_id, "--ttl", "2m", "--bytes-total", "1000")
    before = control.holds(session_id)[0].until
    assert await good(control, "progress", session_id, "420/1000") == ""

    (hold,) = control.holds(session_id)
    assert hold.owner.id == "120"
    assert hold.progress.client_progress == 42
    assert hold.until is not None
    assert before is not None
    assert hold.until > before


async def test_a_hold_without_an_owner_is_let_go_by_name(control: Control) -> None:
    session_id = control.open()
    assert "until released (" in await good(control, "hold", session_id, "--no-owner")
    await good(control, "hold", session_id, "--ttl", "1h")
    ambiguous = await bad(control, "release", session_id)
    assert ambiguous.code == 1
    assert "choose one with --owner: none, ttl:3600" in ambiguous.err

    assert "was released" in await good(control, "release", session_id, "--owner", "ttl")
    assert "was released" in await good(control, "release", session_id)
    assert state(control, session_id) is State.RELEASED


async def test_what_a_full_disk_did_not_record_is_warned_of(control: Control) -> None:
    session_id = control.open()
    await good(control, "hold", session_id, "--no-owner")
    control.disk.error = OSError(28, "No space left on device")

    released = await run(control.path, "release", session_id)
    refused = await bad(control, "hold", session_id, "--no-owner")

    assert (released.code, released.out) == (0, "")
    assert "could not be saved" in released.err
    assert refused.err.startswith("Error: There is no room for more: the hold could not be saved")


async def test_a_renewal_says_how_it_went(control: Control) -> None:
    session_id = control.open()
    await good(control, "hold", session_id, "--no-owner")
    assert (await good(control, "renew", session_id)).startswith("renewed; ")
    control.simulators["lab"].faults.add(Fail(500))

    failed = await bad(control, "renew", session_id)
    assert failed.code == 1
    assert failed.err.startswith("not renewed: ")


async def test_a_hold_on_what_has_ended_meanwhile_fails(control: Control) -> None:
    # The answer waits for the disk, and the session is found out in the meantime.
    control.disk.is_ready.clear()
    async with started(control.path, "hold", "never-was", "--no-owner") as process:
        await control.until(lambda: state(control, "never-was") is State.NOT_FOUND)
        control.disk.is_ready.set()
        _, err = await process.communicate(b"")
    assert process.returncode == 1
    assert "lab has no such session: never-was" in err.decode()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hold", "1"], "one of --pid N, --ttl 2m, --while-connected and --no-owner"),
        (["hold", "1", "--no-owner", "--ttl", "2m"], "one of --pid N"),
        (["hold", "1", "--ttl", "soon"], "must be a duration such as"),
        (["hold", "1", "--no-owner", "--progress", "1", "--bytes-done", "2"], "not both"),
        (["hold", "../session", "--no-owner"], "is not a session id"),
        (["hold", "1", "--no-owner", "--vcenter", ""], "--vcenter"),
        (["progress", "1", "101"], "neither a percentage"),
        (["progress", "1", "9/3"], "neither a percentage"),
        (["status", "1", "--watch"], "cannot be combined"),
        (["status", "--watch"], "needs a terminal"),
        (["status", "--vcenter", "elsewhere"], "configured: lab"),
    ],
)
async def test_what_cannot_be_meant_ends_with_2(
    control: Control, words: list[str], told: str
) -> None:
    ran = await bad(control, *words)
    assert ran.code == 2, ran.err
    assert told in ran.err


async def test_a_problem_is_told_with_its_title_and_its_detail(control: Control) -> None:
    ran = await bad(control, "release", "unknown-id")
    assert ran.code == 1, ran.err
    assert ran.err.startswith("Error: You hold no such session: check ID, --vcenter and --kind")


async def test_which_vcenter_has_to_be_said_where_there_are_two(tmp_path: Path) -> None:
    async with running_control(tmp_path, vcenters=("lab", "prod")) as control:
        session_id = control.open("prod")
        ran = await bad(control, "hold", session_id, "--no-owner")
        assert "choose one with --vcenter: lab, prod" in ran.err
        await good(control, "hold", session_id, "--no-owner", "--vcenter", "prod")
        assert "nothing is held" in await good(control, "status", "--idle", "--vcenter", "lab")
        assert (await bad(control, "status", "--idle")).out == "1 session held\n"


# -- without a daemon


async def test_nobody_listening_is_told_with_the_socket_and_what_to_do(tmp_path: Path) -> None:
    missing = await run(tmp_path / "none.sock", "status")
    (tmp_path / "file").touch()
    dead = await run(tmp_path / "file", "status", "--idle")

    assert (missing.code, dead.code) == (69, 69)
    assert f"no socket at {tmp_path}/none.sock" in missing.err
    assert f"no process listens on {tmp_path}/file" in dead.err
    for each in (missing, dead):
        assert "systemctl status clkeepalived" in each.err
        assert "--socket or CLKEEPALIVED_SOCKET" in each.err


async def test_an_option_names_the_socket_before_the_environment_does(control: Control) -> None:
    ran = await run(Path("/nowhere.sock"), "status", "--idle", "--socket", str(control.path))
    assert (ran.code, ran.out) == (0, "nothing is held\n")


async def test_something_else_that_listens_is_not_the_daemon(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_unix_server(talk, tmp_path / "mail.sock")
    async with server:
        ran = await run(tmp_path / "mail.sock", "status")
    assert ran.code == 69, ran.err
    assert "is not from clkeepalived" in ran.err


async def as_nobody(control: Control, *words: str) -> Ran:
    """Run `status` as another user, who may not be able to read this program's files."""
    code = (
        "import os, signal, click._textwrap, encodings.idna, keepalived.cli.status;"
        "import keepalived.cli.standard_streams, keepalived.host.signals;"
        "import keepalived.cli.main as command;"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY});"
        f"command.main({['status', *words]})"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=surroundings(control.path),
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@needs_root
async def test_who_may_not_open_the_socket_is_told_of_the_group() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control:
            control.path.chmod(0o660)
            ran = await as_nobody(control)
    assert ran.code == 69, ran.err
    assert "only members of the group root may connect" in ran.err


@needs_root
async def test_who_does_not_see_everything_is_not_told_that_all_is_idle() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control:
            await good(control, "hold", control.open(), "--no-owner")
            ran = await as_nobody(control, "--idle")
    assert ran.code == 1, ran.err
    assert "you may not see those of other users" in ran.err


# -- the server's list, and the end


async def test_the_servers_sessions_are_listed_with_whoever_holds_them(control: Control) -> None:
    held, abandoned = control.open(), control.open()
    await good(control, "hold", held, "--ttl", "5m")
    await control.until(lambda: state(control, held) is State.ACTIVE)

    title, *lines = (await good(control, "sessions")).splitlines()
    answers = json.loads(await good(control, "sessions", "--json", "--vcenter", "lab"))

    assert title.split()[:3] == ["STATE", "AGE", "EXPIRES"]
    by_id = {line.split()[-2]: line.split() for line in lines}
    assert by_id.keys() == {held, abandoned}
    assert f"{os.getuid()}:ttl:300" in by_id[held]
    assert by_id[abandoned][4] == "-"
    assert {each["id"] for each in answers["lab"]["sessions"]} == {held, abandoned}


async def test_a_vcenter_that_does_not_list_makes_the_list_fail(control: Control) -> None:
    control.simulators["lab"].faults.add(Fail(503))
    ran = await bad(control, "sessions")
    assert ran.code == 1, ran.err
    assert ran.err.startswith("cannot list the sessions of lab: ")


async def test_cancelling_asks_first(control: Control) -> None:
    session_id = control.open()
    await good(control, "hold", session_id, "--no-owner")
    await control.until(lambda: state(control, session_id) is State.ACTIVE)

    no = await bad(control, "cancel", session_id, stdin="n\n")
    nothing = await bad(control, "cancel", session_id)
    assert (no.code, nothing.code) == (1, 1)
    assert "held by" in no.out
    assert state(control, session_id) is State.ACTIVE

    assert f"cancelled {session_id}" in await good(control, "cancel", session_id, stdin="y\n")
    await control.until(lambda: state(control, session_id) is State.CANCELED)
    assert (await bad(control, "cancel", session_id, "--yes")).err.startswith("not cancelled: ")


@needs_root
async def test_what_others_hold_is_not_cancelled_unless_forced() -> None:
    with open_directory() as directory:
        async with running_control(directory) as control:
            session_id = control.open()
            path = f"/v1/sessions/lab/{session_id}"
            await control.curl("PUT", path, {"owner": None}, user=NOBODY, group=NOBODY)
            refused = await bad(control, "cancel", session_id, "--yes")
            assert refused.code == 1
            assert "is also held by others" in refused.err
            assert "--force" in refused.err
            await good(control, "cancel", session_id, "--yes", "--force")


# -- events, reload


async def test_events_come_as_they_happen(control: Control) -> None:
    session_id = control.open()
    async with (
        started(control.path, "events") as words,
        started(control.path, "events", session_id, "--json") as parts,
    ):
        await line_of(words.stdout, "listening")
        await line_of(parts.stdout, "stream_started")
        await good(control, "hold", session_id, "--no-owner")
        told = await line_of(words.stdout, "held by")
        assert f" lab {session_id}: held by " in told
        await line_of(words.stdout, "renewed for the first time")
        event = json.loads(await line_of(parts.stdout, "hold_taken"))
        assert (event["event"], event["id"]) == ("hold_taken", session_id)
        words.send_signal(signal.SIGINT)
        assert await words.wait() == 0
        await control.stop()
        assert await parts.wait() == 69
        await control.start()


async def test_a_reload_says_what_was_not_applied(control: Control) -> None:
    async def partly() -> Reloaded:
        return Reloaded(applied=True, problems=("state: restart needed",))

    async def refused() -> Reloaded:
        return Reloaded(applied=False, problems=("config.yaml:3: vcenters: missing",))

    control.reload = partly
    ran = await run(control.path, "reload")
    assert ran.code == 0, ran.err
    assert "not applied: state: restart needed" in ran.err
    control.reload = refused
    ran = await run(control.path, "reload")
    assert ran.code == 78, ran.err
    assert "config.yaml:3: vcenters: missing\nError: The new configuration was refused" in ran.err


# -- status without a terminal


async def test_a_program_gets_every_session_in_full(control: Control) -> None:
    ids = [control.open() for _ in range(3)]
    for place, each in enumerate(ids):
        await good(control, "hold", each, "--no-owner", "--progress", str(10 * place))
    await control.until(lambda: all(state(control, each) is State.ACTIVE for each in ids))

    title, *lines = (await good(control, "status")).splitlines()
    found = json.loads(await good(control, "status", "--json"))

    assert title.split() == (
        ["LIBRARY/ITEM", "VCENTER", "KIND", "STATE", "SLACK", "PROGRESS", "LAST", "ID"]
    )
    assert {line.split()[-1] for line in lines} == set(ids)
    assert "\x1b" not in "".join(lines)
    assert found["held"] == 3
    assert {each["id"] for each in found["sessions"]} == set(ids)


async def test_one_session_is_told_in_detail(control: Control) -> None:
    session_id = control.open()
    await good(control, "hold", session_id, "--no-owner", "--progress", "7", "--note", "ünï")
    await control.until(lambda: state(control, session_id) is State.ACTIVE)

    told = await good(control, "status", session_id)
    found = json.loads(await good(control, "status", session_id, "--json"))

    for part in (session_id, "ACTIVE", "of 4m59s", "until released", '7 %, "ünï"', " ok\n"):
        assert part in told
    assert found["holds"][0]["note"] == "ünï"


# -- what it costs


async def test_the_client_loads_nothing_of_the_daemon(control: Control) -> None:
    await good(control, "hold", control.open(), "--no-owner")
    code = (
        "import sys; from keepalived.cli.main import main\n"
        "try: main(['status'])\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules})"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        stdout=asyncio.subprocess.PIPE,
        env=surroundings(control.path),
    )
    out, _ = await process.communicate()
    table, loaded = out.decode().rsplit("\n", 2)[0:2]
    assert "none" not in table
    assert "lab" in table
    heavy = {"aiohttp", "asyncio", "rich", "structlog", "yaml"}
    assert not heavy & set(loaded.split())


@pytest.mark.parametrize("owner", [("--pid", str(os.getpid())), ("--ttl", "2m"), ("--no-owner",)])
async def test_an_id_that_the_vcenter_does_not_know_is_told_alike(
    control: Control, owner: tuple[str, ...]
) -> None:
    ran = await bad(control, "hold", "never-was", *owner)
    assert (ran.code, ran.err) == (1, "lab has no such session: never-was\n")
