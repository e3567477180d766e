"""`clkeepalived exec`: whose sessions it keeps, what it says of them, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.faults import Hang, Latency
from keepalived.simulator.resources import SessionEvent
from tests.support.cli import COMMAND, Ran, line_of
from tests.support.exec import UPLOADER, Place, image, open_sessions, place, session_of
from tests.support.pty import until

pytestmark = pytest.mark.timeout(40)

LIFETIME = 2.0
LONG = str(1.5 * LIFETIME)
"""A gap that no session outlives by itself."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, LIFETIME) as opened:
        yield opened


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    return image(tmp_path)


async def until_open(lab: Place) -> str:
    """Wait for the one session of the test, and return its id."""
    await until(lambda: open_sessions(lab.simulator))
    (session_id,) = open_sessions(lab.simulator)
    return session_id


async def until_held(lab: Place, session_id: str) -> None:
    """Wait until a session is known to be the command's own, too, from its files."""
    await until(lambda: len(lab.keep_alives(session_id)) >= 3)


async def until_ended(lab: Place, session_id: str, event: SessionEvent) -> None:
    await until(lambda: event in lab.events(session_id), lambda: str(lab.events(session_id)))


async def test_an_upload_with_gaps_arrives(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--", *UPLOADER, str(iso), "--gap", LONG, "--put", "1")

    assert ran.code == 0, ran.err
    session_id = session_of(ran)
    assert lab.events(session_id) == [SessionEvent.CREATED, SessionEvent.COMPLETED]
    assert ran.err.splitlines()[-1].startswith(
        "clkeepalived: templates/image version 1→2, content arrived; held "
    )
    assert re.search(r"longest idle gap \d+ s of 2 s allowed$", ran.err)


async def test_without_it_the_same_upload_fails(lab: Place, iso: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *UPLOADER, str(iso), "--gap", LONG, env=lab.environment, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    assert b"was answered by 404" in err


async def test_progress_only_rises_and_never_claims_the_end(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--", *UPLOADER, str(iso), "--gap", LONG, "--put", "4")

    assert ran.code == 0, ran.err
    sent = [
        each.client_progress
        for each in lab.keep_alives(session_of(ran))
        if each.client_progress is not None
    ]
    assert sent == sorted(sent)
    assert len(set(sent)) >= 3
    assert 0 < max(sent) <= 99


async def test_nothing_is_cancelled_and_every_login_is_ended(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--", *UPLOADER, str(iso))

    assert ran.code == 0, ran.err
    ledger = lab.simulator.ledger
    assert not ledger.requests("update_session.cancel")
    assert not ledger.requests("update_session.delete")
    # But for the uploader's own, which it leaves behind.
    logins = [each.method for each in ledger.requests("session.*")]
    assert logins.count("POST") == logins.count("DELETE") + 1


async def test_the_exit_code_and_the_streams_are_the_commands(lab: Place) -> None:
    script = 'read line; echo "out $line"; echo err >&2; exit 7'
    async with lab.started("--", "sh", "-c", script) as process:
        out, err = await process.communicate(b"put in\n")

    assert process.returncode == 7
    assert out == b"out put in\n"
    assert b"err\n" in err


async def test_a_signal_that_kills_the_command_is_told_as_shells_do(lab: Place) -> None:
    ran = await lab.exec("--", "sh", "-c", "kill -TERM $$")

    assert ran.code == 128 + signal.SIGTERM, ran.err


async def test_odd_arguments_pass_through(lab: Place) -> None:
    odd = ["--", "-h", "--config", "a b", "", "*", "$HOME", "ä\n", "--help"]
    script = "import sys; print(ascii(sys.argv[1:]))"

    ran = await lab.exec("--", sys.executable, "-c", script, *odd)

    assert ran.code == 0, ran.err
    assert ran.out == f"{odd!a}\n"


async def test_options_of_the_command_are_its_own_even_without_the_dashes(lab: Place) -> None:
    ran = await lab.exec("sh", "-c", "exit 5")

    assert ran.code == 5, ran.err


async def test_a_command_that_does_not_exist(lab: Place) -> None:
    ran = await lab.exec("--", "no-such-program")

    assert ran.code == 127, ran.err
    assert ran.err == "clkeepalived: no-such-program: command not found\n"
    assert not lab.simulator.ledger.total


async def test_a_command_that_is_not_executable(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--", str(iso))

    assert ran.code == 126, ran.err
    assert ran.err == f"clkeepalived: {iso}: permission denied\n"


async def test_a_vcenter_that_cannot_be_asked_is_said_before_anything_starts(
    lab: Place, tmp_path: Path
) -> None:
    lab.config.write_text(lab.config.read_text().replace(lab.url, "http://127.0.0.1:1"))

    ran = await lab.exec("--", "touch", str(tmp_path / "started"))

    assert ran.code == 69, ran.err
    assert "lab cannot be asked for its sessions: " in ran.err
    assert not (tmp_path / "started").exists()


async def test_a_vcenter_that_is_slow_to_list_is_waited_for(lab: Place) -> None:
    slow = Latency(LIFETIME / 2)
    lab.simulator.faults.add(slow, route="update_session.list", count=3)

    ran = await lab.exec("--", "true")

    assert ran.code == 0, ran.err


async def test_a_bad_configuration_names_file_and_line(lab: Place) -> None:
    lab.config.write_text("vcenters:\n  lab: {url: 'ftp://x'}\n")

    ran = await lab.exec("--", "true")

    assert ran.code == 78, ran.err
    assert ran.err.startswith(f"{lab.config}:2: vcenters.lab.url")


async def test_the_vcenter_of_the_environment_does_as_well(tmp_path: Path, iso: Path) -> None:
    async with place(tmp_path, lifetime=300.0) as lab:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keepalived.cli", "exec", "--"),
            *(*UPLOADER, str(iso), "--gap", "2.5"),
            env=lab.environment,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        _, err = await process.communicate()

    assert process.returncode == 0
    assert "templates/image version 1→2, content arrived" in err.decode()


async def test_what_was_not_completed_is_named_with_what_cancels_it(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--", *UPLOADER, str(iso), "--gap", LONG, "--leave", "--exit", "3")

    assert ran.code == 3, ran.err
    session_id = session_of(ran)
    lines = ran.err.splitlines()
    assert "templates/image, still open: it was not completed" in lines[-2]
    words = shlex.split(lines[-1].partition(" to cancel it: ")[2])
    assert words[:3] == ["clkeepalived", "cancel", "--direct"]
    assert words[-1] == session_id

    lab.keep_open(session_id)
    cancelled = await lab.clkeepalived(*words[1:], "--yes")

    assert (cancelled.code, cancelled.out) == (0, f"cancelled {session_id}\n"), cancelled.err
    assert SessionEvent.CANCELLED in lab.events(session_id)


async def test_cancelling_directly_asks_first(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--settle", "0s", "--", *UPLOADER, str(iso), "--leave", "--gap", "1")
    session_id = session_of(ran)
    command = ("cancel", "--direct", "--config", str(lab.config), session_id)
    lab.keep_open(session_id)

    refused = await lab.clkeepalived(*command)

    assert refused.code == 1
    assert "lab says that it is ACTIVE" in refused.out
    assert SessionEvent.CANCELLED not in lab.events(session_id)


async def test_cancelling_directly_what_is_no_more_is_an_error(lab: Place) -> None:
    unknown = "00000000-0000-4000-8000-000000000000:00000000-0000-4000-8000-000000000001"

    ran = await lab.clkeepalived(
        "cancel", "--direct", "--config", str(lab.config), "--yes", unknown
    )

    assert ran.code == 1, ran.err
    assert ran.err.startswith("not cancelled: ")


async def test_somebody_elses_session_is_held_with_a_warning_and_left_alone(
    lab: Place, iso: Path
) -> None:
    async with lab.started("--", "sh", "-c", "echo begun; sleep 6") as process:
        await line_of(process.stdout, "begun")
        foreign = lab.simulator.open_session()
        _, err = await process.communicate()

    assert process.returncode == 0
    assert len(lab.keep_alives(foreign)) >= 4
    assert "appeared while the command ran, and nothing says" in err.decode()
    assert "no session of the command's own was seen" in err.decode()
    assert not lab.simulator.ledger.requests("update_session.cancel")
    await until_ended(lab, foreign, SessionEvent.EXPIRED)


async def test_a_session_that_nothing_claims_is_said_while_the_command_runs(lab: Place) -> None:
    async with lab.started("--", "sh", "-c", "echo begun; sleep 30") as process:
        await line_of(process.stdout, "begun")
        lab.simulator.open_session()
        assert process.stderr is not None
        said = await line_of(process.stderr, "clkeepalived: warning: nothing says so far that ")

        assert " library/image.ova is the command's own" in said
        assert "--item" in said


async def test_what_was_there_before_is_none_of_its_business(lab: Place) -> None:
    foreign = lab.simulator.open_session()

    ran = await lab.exec("--", "sleep", "3")

    assert ran.code == 0, ran.err
    assert not lab.keep_alives(foreign)


async def test_a_session_named_is_its_own_from_the_start(lab: Place) -> None:
    named = lab.open_session()

    ran = await lab.exec("--session", named, "--settle", "0s", "--", "sleep", LONG)

    assert ran.code == 0, ran.err
    assert len(lab.keep_alives(named)) >= 3
    assert "still open: it was not completed" in ran.err


async def test_an_item_named_makes_its_session_the_commands_own(lab: Place) -> None:
    async with lab.started(
        "--item", "templates/odd", "--settle", "0s", "--", *UPLOADER, "/dev/null",
        "--item", "templates/odd", "--gap", LONG, "--leave",
    ) as process:  # fmt: skip
        _, err = await process.communicate()

    assert "clkeepalived: templates/odd, still open" in err.decode()


async def test_two_jobs_on_one_account_keep_apart(lab: Place, tmp_path: Path) -> None:
    first, second = image(tmp_path, "first.iso"), image(tmp_path, "second.iso")

    ran = await asyncio.gather(
        lab.exec("--", *UPLOADER, str(first), "--item", "templates/one", "--gap", LONG),
        lab.exec("--", *UPLOADER, str(second), "--item", "templates/two", "--gap", str(3.5)),
    )

    for name, other, each in zip(("one", "two"), ("two", "one"), ran, strict=True):
        assert each.code == 0, each.err
        assert f"templates/{name} version 1→2, content arrived" in each.err.splitlines()[-1]
        assert f"templates/{other} version" not in each.err
    assert not lab.simulator.ledger.requests("update_session.cancel")


async def test_two_jobs_that_send_files_of_one_name_keep_apart_where_items_are_named(
    lab: Place, iso: Path
) -> None:
    async def job(item: str, *more: str) -> Ran:
        command = (*UPLOADER, str(iso), "--item", item, *more)
        return await lab.exec("--item", item, "--settle", "30s", "--", *command)

    # While the first computes its checksum, the second is sending.
    first, second = await asyncio.gather(
        job("templates/one", "--gap", "3"), job("templates/two", "--gap", "0.5", "--put", "6")
    )

    for name, other, each in (("one", "two", first), ("two", "one", second)):
        assert each.code == 0, each.err
        assert f"templates/{name} version 1→2, content arrived" in each.err.splitlines()[-1]
        assert f"templates/{other} version" not in each.err
        assert f"waiting until vCenter has settled templates/{other}" not in each.err


async def test_a_session_that_is_lost_leaves_the_command_alone(lab: Place, iso: Path) -> None:
    async with lab.started("--", *UPLOADER, str(iso), "--gap", "5") as process:
        session_id = await until_open(lab)
        await until_held(lab, session_id)
        lab.simulator.library.sessions.fail(Kind.UPDATE, session_id, "the datastore is full")
        _, err = await process.communicate()

    assert process.returncode == 1  # the uploader's own, as its next call is refused
    assert "the datastore is full" in err.decode()
    assert "SIGTERM" not in err.decode()


async def test_a_session_that_is_lost_ends_the_command_where_that_is_wanted(
    lab: Place, iso: Path
) -> None:
    command = (*UPLOADER, str(iso), "--gap", "30")
    async with lab.started("--on-loss", "term", "--", *command) as process:
        session_id = await until_open(lab)
        await until_held(lab, session_id)
        lab.simulator.library.sessions.fail(Kind.UPDATE, session_id, "the datastore is full")
        _, err = await process.communicate()

    assert process.returncode == 128 + signal.SIGTERM
    assert "the command is asked to end, since its session is lost (SIGTERM)" in err.decode()
    assert "the datastore is full" in err.decode().splitlines()[-1]


async def test_an_upload_that_was_killed_is_let_go(lab: Place, iso: Path) -> None:
    async with lab.started("--", *UPLOADER, str(iso), "--gap", "30") as process:
        session_id = await until_open(lab)
        await until_held(lab, session_id)
        (uploader,) = _children(process.pid)
        os.kill(uploader, signal.SIGKILL)
        _, err = await process.communicate()

    assert process.returncode == 128 + signal.SIGKILL
    assert "still open: it was not completed" in err.decode()
    await until_ended(lab, session_id, SessionEvent.EXPIRED)
    # The item is free again.
    ran = await lab.exec("--", *UPLOADER, str(iso))
    assert ran.code == 0, ran.err


async def test_children_that_the_command_leaves_behind_are_not_waited_for(
    lab: Place, iso: Path
) -> None:
    pids = iso.with_name("pid")
    script = f"sleep 60 >/dev/null 2>&1 & echo $! >{shlex.quote(str(pids))}; exit 4"
    ran = await lab.exec("--", "sh", "-c", script)

    assert ran.code == 4, ran.err
    with suppress(ProcessLookupError):
        os.kill(int(pids.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
async def test_signals_are_passed_on(lab: Place, number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 9' {number.name.removeprefix('SIG')}; echo begun; "
    async with lab.started("--", "sh", "-c", script + "while :; do sleep 0.05; done") as process:
        await line_of(process.stdout, "begun")
        process.send_signal(number)
        out, _ = await process.communicate()

    assert (process.returncode, out) == (9, b"got\n")


@pytest.mark.parametrize("where", ["2>&-", "2>&1 >/dev/null | true", "2>/dev/full"])
async def test_where_nobody_listens_the_command_goes_on_all_the_same(
    lab: Place, tmp_path: Path, where: str
) -> None:
    code = tmp_path / "code"  # of exec, whatever stands behind a pipe
    command = shlex.join(
        [*COMMAND, "exec", "--config", str(lab.config), "--", "sh", "-c", "exit 5"]
    )
    script = f"{{ {command}; echo $? >{shlex.quote(str(code))}; }} {where}"
    process = await asyncio.create_subprocess_exec("sh", "-c", script, env=lab.environment)
    await process.wait()

    assert code.read_text() == "5\n"


async def test_sessions_are_kept_while_nobody_reads_what_is_said(lab: Place) -> None:
    kept, lost = lab.open_session(), lab.open_session()
    script = "head -c 1000000 /dev/zero | tr '\\0' x >&2"  # more than a pipe holds
    options = ("--session", kept, "--session", lost, "--settle", "0s")
    async with lab.started(*options, "--", "sh", "-c", script) as process:
        await until(lambda: lab.keep_alives(kept))
        await asyncio.sleep(LIFETIME)  # the pipe is full by then
        lab.simulator.library.sessions.fail(Kind.UPDATE, lost, "the datastore is full")
        before = len(lab.keep_alives(kept))
        await until(lambda: len(lab.keep_alives(kept)) >= before + 4)
        _, err = await process.communicate()

    assert process.returncode == 0
    assert "the datastore is full" in err.decode()


async def test_a_signal_before_the_start_keeps_the_command_from_being_started(
    lab: Place, tmp_path: Path
) -> None:
    lab.simulator.faults.add(Hang(), route="update_session.list")
    async with lab.started("--", "touch", str(tmp_path / "started")) as process:
        await until(lambda: lab.simulator.ledger.requests("update_session.list"))
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert process.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_behind_the_command_ends_the_wait_and_not_the_last_words(
    lab: Place, tmp_path: Path, number: signal.Signals
) -> None:
    named = lab.open_session()
    script = (
        f"echo begun; while ! [ -e {shlex.quote(str(tmp_path))}/end ]; do sleep 0.05; done; exit 3"
    )
    async with lab.started("--session", named, "--", "sh", "-c", script) as process:
        await line_of(process.stdout, "begun")
        (command,) = _children(process.pid)
        lab.simulator.faults.add(Latency(30.0), route="update_session.list")
        (tmp_path / "end").touch()
        await until(lambda: not Path(f"/proc/{command}").exists())
        process.send_signal(number)
        _, err = await process.communicate()

    assert process.returncode == 3
    assert "still open: it was not completed" in err.decode()
    assert (
        f"to cancel it: clkeepalived cancel --direct --config {lab.config} {named}" in err.decode()
    )


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
