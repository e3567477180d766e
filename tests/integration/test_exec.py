"""`clkeepalived exec`: whose sessions it keeps, what it says of them, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.faults import Fail, Hang, Latency
from keepalived.simulator.resources import SessionEvent
from tests.support.cli import COMMAND, Ran, line_of
from tests.support.exec import (
    UPLOADER,
    Place,
    ended,
    image,
    open_sessions,
    place,
    session_of,
    waiting,
)
from tests.support.pty import until
from tests.support.timeouts import TIMEOUT_SECONDS

LIFETIME, SERVED = 2.0, 16.0
"""The configured and the actual lifetime of sessions: `exec` renews them every second."""
LONG = str(SERVED + 1)
"""A gap that no session outlives by itself."""

extended = pytest.mark.extended


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path, LIFETIME, served_lifetime=SERVED) as opened:
        yield opened


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    return image(tmp_path)


async def upload(
    lab: Place, iso: Path, *words: str, options: tuple[str, ...] = (), gap: str = "--gap"
) -> Ran:
    """Upload under `exec`, with a gap that is longer than the session's lifetime."""
    go_on = iso.with_name("go on")
    async with lab.started(*options, "--", *UPLOADER, str(iso), gap, str(go_on), *words) as process:
        await lab.until_held(more=4)  # the fourth renewal comes 1.1 lifetimes after the first
        go_on.touch()
        return await ended(process)


async def said_until(process: Process, words: str) -> str:
    """Read what a process says on stderr, up to the line that holds these words."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while words not in said:
            line = await process.stderr.readline()
            assert line, f"it ended without {words!r}:\n{said}"
            said += line.decode()
    return said


async def until_ended(lab: Place, session_id: str, event: SessionEvent) -> None:
    await until(lambda: event in lab.events(session_id), lambda: str(lab.events(session_id)))


async def test_an_upload_with_gaps_is_kept_and_arrives(lab: Place, iso: Path) -> None:
    ran = await upload(lab, iso)

    assert ran.code == 0, ran.err
    session_id = session_of(ran)
    assert lab.events(session_id) == [SessionEvent.CREATED, SessionEvent.COMPLETED]
    assert ran.err.splitlines()[-1].startswith(
        "clkeepalived: templates/image version 1→2, content arrived; held "
    )
    assert re.search(r"longest pause \d+ s \(it would have expired after 2 s\)$", ran.err)


@extended
async def test_a_session_outlives_its_lifetime(lab: Place, iso: Path) -> None:
    ran = await lab.exec("--", *UPLOADER, str(iso), "--gap", LONG, "--queue", "0")

    assert ran.code == 0, ran.err
    assert "templates/image version 1→2, content arrived" in ran.err.splitlines()[-1]


@extended
async def test_without_it_the_same_upload_fails(tmp_path: Path, iso: Path) -> None:
    async with place(tmp_path, LIFETIME) as lab:
        process = await asyncio.create_subprocess_exec(
            *(*UPLOADER, str(iso), "--gap", str(1.5 * LIFETIME)),
            env=lab.environment,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()

    assert process.returncode == 1
    assert b"was answered by 404" in err


@extended
async def test_progress_only_rises_and_never_claims_the_end(lab: Place, iso: Path) -> None:
    go_on = iso.with_name("go on")
    async with lab.started("--", *UPLOADER, str(iso), "--put", str(go_on)) as process:
        session_id = await lab.until_open()

        def told() -> list[int]:
            found = [each.client_progress for each in lab.keep_alives(session_id)]
            return [percent for percent in found if percent is not None]

        await until(lambda: len(set(told())) >= 3, lambda: str(told()))
        go_on.touch()
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert told() == sorted(told())
    assert 0 < max(told()) <= 99


@extended
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


@extended
async def test_a_signal_that_kills_the_command_is_told_as_shells_do(lab: Place) -> None:
    ran = await lab.exec("--", "sh", "-c", "kill -TERM $$")

    assert ran.code == 128 + signal.SIGTERM, ran.err


@extended
async def test_odd_arguments_pass_through(lab: Place) -> None:
    odd = ["--", "-h", "--config", "a b", "", "*", "$HOME", "ä\n", "--help"]
    script = "import sys; print(ascii(sys.argv[1:]))"

    ran = await lab.exec("--", sys.executable, "-c", script, *odd)

    assert ran.code == 0, ran.err
    assert ran.out == f"{odd!a}\n"


@extended
async def test_options_of_the_command_are_its_own_even_without_the_dashes(lab: Place) -> None:
    ran = await lab.exec("sh", "-c", "exit 5")

    assert ran.code == 5, ran.err


async def test_a_command_that_does_not_exist(lab: Place) -> None:
    ran = await lab.exec("--", "no-such-program")

    assert ran.code == 127, ran.err
    assert ran.err == "clkeepalived: no-such-program: command not found\n"
    assert not lab.simulator.ledger.total


@extended
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


@extended
async def test_a_vcenter_that_is_slow_to_list_is_waited_for(tmp_path: Path) -> None:
    async with place(tmp_path, LIFETIME) as lab:  # a tenth of which is the usual patience
        lab.simulator.faults.add(Latency(LIFETIME / 2), route="update_session.list", count=3)

        ran = await lab.exec("--", "true")

    assert ran.code == 0, ran.err


async def test_a_bad_configuration_names_file_and_line(lab: Place) -> None:
    lab.config.write_text("vcenters:\n  lab: {url: 'ftp://x'}\n")

    ran = await lab.exec("--", "true")

    assert ran.code == 78, ran.err
    assert ran.err.startswith(f"{lab.config}:2: vcenters.lab.url")


@extended
async def test_the_vcenter_of_the_environment_does_as_well(tmp_path: Path, iso: Path) -> None:
    go_on = tmp_path / "go on"
    async with place(tmp_path, lifetime=300.0) as lab:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keepalived.cli", "exec", "--"),
            *(*UPLOADER, str(iso), "--gap", str(go_on)),
            env=lab.environment,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        await lab.until_held(more=1)
        go_on.touch()
        _, err = await process.communicate()

    assert process.returncode == 0
    assert "templates/image version 1→2, content arrived" in err.decode()


@extended
async def test_what_was_not_completed_is_named_with_what_cancels_it(lab: Place, iso: Path) -> None:
    ran = await upload(lab, iso, "--leave", "--exit", "3")

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


@extended
async def test_cancelling_directly_asks_first(lab: Place) -> None:
    session_id = lab.simulator.open_session()
    lab.keep_open(session_id)

    refused = await lab.clkeepalived("cancel", "--direct", "--config", str(lab.config), session_id)

    assert refused.code == 1
    assert "its state on lab is ACTIVE" in refused.out
    assert SessionEvent.CANCELLED not in lab.events(session_id)


@extended
async def test_cancelling_directly_what_is_no_more_is_an_error(lab: Place) -> None:
    unknown = "00000000-0000-4000-8000-000000000000:00000000-0000-4000-8000-000000000001"

    ran = await lab.clkeepalived(
        "cancel", "--direct", "--config", str(lab.config), "--yes", unknown
    )

    assert ran.code == 1, ran.err
    assert "\nnot cancelled: " in ran.err


@asynccontextmanager
async def begun(lab: Place, end: Path) -> AsyncIterator[Process]:
    """Run a command that waits for a file under `exec`, once it has begun."""
    async with lab.started("--", *waiting(end)) as process:
        await line_of(process.stdout, "begun")
        yield process


@extended
async def test_somebody_elses_session_is_held_with_a_warning_and_left_alone(
    lab: Place, tmp_path: Path
) -> None:
    async with begun(lab, tmp_path / "end") as process:
        foreign = await lab.until_held(lab.simulator.open_session(), more=4)
        (tmp_path / "end").touch()
        ran = await ended(process)

    assert ran.code == 0
    assert "appeared while the command ran, but may not belong to it" in ran.err
    assert "no session of the command was found" in ran.err
    assert lab.events(foreign) == [SessionEvent.CREATED]
    await until_ended(lab, foreign, SessionEvent.EXPIRED)


@extended
async def test_a_session_that_nothing_claims_is_said_while_the_command_runs(
    lab: Place, tmp_path: Path
) -> None:
    async with begun(lab, tmp_path / "end") as process:
        lab.simulator.open_session()
        assert process.stderr is not None
        said = await line_of(process.stderr, "clkeepalived: keeping ")

    assert said.strip().endswith("keeping library/image.ova alive (assumed yours; --item says so)")


@extended
async def test_what_was_there_before_is_none_of_its_business(lab: Place, tmp_path: Path) -> None:
    foreign = lab.simulator.open_session()
    lab.keep_open(foreign)
    async with lab.started("--", *waiting(tmp_path / "end")) as process:
        await until(lambda: len(lab.simulator.ledger.requests("update_session.list")) >= 5)
        (tmp_path / "end").touch()
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert not lab.keep_alives(foreign)


@extended
async def test_a_session_named_is_its_own_from_the_start(lab: Place, tmp_path: Path) -> None:
    named = lab.open_session()
    command = waiting(tmp_path / "end")
    async with lab.started("--session", named, "--settle", "0s", "--", *command) as process:
        await lab.until_held(named)
        (tmp_path / "end").touch()
        ran = await ended(process)

    assert ran.code == 0, ran.err
    assert "still open: it was not completed" in ran.err


@extended
async def test_an_item_named_makes_its_session_the_commands_own(lab: Place, iso: Path) -> None:
    name = ("--item", "templates/odd")

    ran = await upload(lab, iso, *name, "--leave", options=(*name, "--settle", "0s"))

    assert "clkeepalived: templates/odd, still open" in ran.err


def once_both_run(folder: Path, name: str, *command: str) -> tuple[str, ...]:
    """Return a command that begins when both jobs run, so that neither claims earlier sessions."""
    begun = shlex.quote(str(folder))
    text = f'touch {begun}/"$0"; until [ -e {begun}/one -a -e {begun}/two ]; do sleep 0.05; done'
    return ("sh", "-c", f'{text}; exec "$@"', name, *command)


async def until_held_by_two(lab: Place) -> None:
    """Wait until each of two jobs has renewed, from now on, each of two sessions three times."""
    await until(lambda: len(open_sessions(lab.simulator)) == 2)
    before = len(lab.simulator.ledger.entries)

    def kept() -> Counter[tuple[str | None, str]]:
        sent = list(lab.simulator.ledger.entries)[before:]
        route = "update_session.keep_alive"
        return Counter((each.session_id, each.login) for each in sent if each.route == route)

    await until(lambda: len(kept()) == 4 and min(kept().values()) >= 3, lambda: str(kept()))


@extended
async def test_two_jobs_on_one_account_keep_apart(lab: Place, tmp_path: Path) -> None:
    is_computed, is_over = tmp_path / "computed", tmp_path / "over"

    async def job(file: str, name: str) -> Ran:
        words = ("--item", f"templates/{name}", "--gap", str(is_computed), "--queue", str(is_over))
        command = (*UPLOADER, str(image(tmp_path, file)), *words)
        return await lab.exec("--", *once_both_run(tmp_path, name, *command))

    async def release() -> None:
        await until_held_by_two(lab)
        is_computed.touch()
        await until(lambda: len(lab.simulator.ledger.requests("upload")) == 2)
        await until_held_by_two(lab)
        is_over.touch()

    *ran, _ = await asyncio.gather(job("first.iso", "one"), job("second.iso", "two"), release())

    for name, other, each in zip(("one", "two"), ("two", "one"), ran, strict=True):
        assert each.code == 0, each.err
        assert f"templates/{name} version 1→2, content arrived" in each.err.splitlines()[-1]
        foreign = [line for line in each.err.splitlines() if f"templates/{other} version" in line]
        assert all("it may not belong to the command" in line for line in foreign)
    assert not lab.simulator.ledger.requests("update_session.cancel")


@extended
async def test_two_jobs_that_send_files_of_one_name_keep_apart_where_items_are_named(
    lab: Place, iso: Path
) -> None:
    is_computed, is_sent = iso.with_name("computed"), iso.with_name("sent")

    async def job(name: str, *more: str) -> Ran:
        item = f"templates/{name}"
        command = once_both_run(iso.parent, name, *UPLOADER, str(iso), "--item", item, *more)
        return await lab.exec("--item", item, "--settle", "30s", "--", *command)

    async def release() -> None:
        # While the first computes its checksum, the second is sending.
        await until(lambda: lab.simulator.ledger.requests("update_session_file.add"))
        await until_held_by_two(lab)
        is_sent.touch()
        events = lab.simulator.ledger.events
        await until(lambda: any(each.event is SessionEvent.COMPLETED for each in events))
        is_computed.touch()

    first, second, _ = await asyncio.gather(
        job("one", "--gap", str(is_computed)),
        job("two", "--put", str(is_sent)),
        release(),
    )

    for name, other, each in (("one", "two", first), ("two", "one", second)):
        assert each.code == 0, each.err
        assert f"templates/{name} version 1→2, content arrived" in each.err.splitlines()[-2]
        assert each.err.splitlines()[-1] == f"clkeepalived: templates/{name} arrived, version 2"
        assert f"templates/{other} version" not in each.err
        assert f"waiting until vCenter has processed templates/{other}" not in each.err


@extended
async def test_a_session_that_is_lost_leaves_the_command_alone(lab: Place, iso: Path) -> None:
    go_on = iso.with_name("go on")
    async with lab.started("--", *UPLOADER, str(iso), "--gap", str(go_on)) as process:
        session_id = await lab.until_held()
        lab.simulator.library.sessions.fail(Kind.UPDATE, session_id, "the datastore is full")
        # A keep-alive or a list may be what tells of it first.
        said = await said_until(process, "the datastore is full")
        go_on.touch()
        ran = await ended(process)

    assert ran.code == 1  # the uploader's own, as its next call is refused
    assert "SIGTERM" not in said + ran.err


@extended
async def test_a_session_that_is_lost_ends_the_command_where_that_is_wanted(
    lab: Place, iso: Path
) -> None:
    command = (*UPLOADER, str(iso), "--gap", "/never")
    async with lab.started("--on-loss", "term", "--", *command) as process:
        session_id = await lab.until_held()
        lab.simulator.library.sessions.fail(Kind.UPDATE, session_id, "the datastore is full")
        _, err = await process.communicate()

    assert process.returncode == 128 + signal.SIGTERM
    assert "a session of the command was lost: sending SIGTERM to the command" in err.decode()
    assert "the datastore is full" in err.decode().splitlines()[-1]


@extended
async def test_an_upload_that_was_killed_is_let_go(lab: Place, iso: Path) -> None:
    async with lab.started("--", *UPLOADER, str(iso), "--gap", "/never") as process:
        session_id = await lab.until_held()
        (uploader,) = _children(process.pid)
        os.kill(uploader, signal.SIGKILL)
        _, err = await process.communicate()

    assert process.returncode == 128 + signal.SIGKILL
    assert "still open: it was not completed" in err.decode()
    await until_ended(lab, session_id, SessionEvent.EXPIRED)
    # The item is free again.
    ran = await lab.exec("--", *UPLOADER, str(iso))
    assert ran.code == 0, ran.err


@extended
async def test_children_that_the_command_leaves_behind_are_not_waited_for(
    lab: Place, iso: Path
) -> None:
    pids = iso.with_name("pid")
    script = f"sleep 60 >/dev/null 2>&1 & echo $! >{shlex.quote(str(pids))}; exit 4"
    ran = await lab.exec("--", "sh", "-c", script)

    assert ran.code == 4, ran.err
    with suppress(ProcessLookupError):
        os.kill(int(pids.read_text()), signal.SIGKILL)


@extended
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
async def test_signals_are_passed_on(lab: Place, number: signal.Signals) -> None:
    script = f"trap 'echo got; exit 9' {number.name.removeprefix('SIG')}; echo begun; "
    async with lab.started("--", "sh", "-c", script + "while :; do sleep 0.05; done") as process:
        await line_of(process.stdout, "begun")
        process.send_signal(number)
        out, _ = await process.communicate()

    assert (process.returncode, out) == (9, b"got\n")


@extended
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


@extended
async def test_sessions_are_kept_while_nobody_reads_what_is_said(lab: Place) -> None:
    kept, lost = lab.open_session(), lab.open_session()
    script = "head -c 1000000 /dev/zero | tr '\\0' x >&2"  # more than a pipe holds
    options = ("--session", kept, "--session", lost, "--settle", "0s")
    async with lab.started(*options, "--", "sh", "-c", script) as process:
        await lab.until_held(kept)  # the pipe is full by then
        lab.simulator.library.sessions.fail(Kind.UPDATE, lost, "the datastore is full")
        await lab.until_held(kept, more=4)
        _, err = await process.communicate()

    assert process.returncode == 0
    assert "the datastore is full" in err.decode()


@extended
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


@extended
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_behind_the_command_ends_the_wait_and_not_the_last_words(
    lab: Place, tmp_path: Path, number: signal.Signals
) -> None:
    named = lab.open_session()
    async with lab.started("--session", named, "--", *waiting(tmp_path / "end", code=3)) as process:
        await line_of(process.stdout, "begun")
        (command,) = _children(process.pid)
        lab.simulator.faults.add(Latency(300.0), route="update_session.list")
        (tmp_path / "end").touch()
        await until(lambda: not Path(f"/proc/{command}").exists())
        process.send_signal(number)
        ran = await ended(process)

    assert ran.code == 3
    assert "still open: it was not completed" in ran.err
    cancel = f"clkeepalived cancel --direct --config {lab.config} {named}"
    assert f"to cancel it: {cancel}" in ran.err


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@extended
@pytest.mark.parametrize("code", [0, 3])
async def test_an_item_named_is_looked_up_in_the_end_without_a_session_too(
    lab: Place, code: int
) -> None:
    lab.simulator.open_session()
    there, missing = "library/image.ova", "library/no such item"

    ran = await lab.exec("--item", there, "--item", missing, "--", "sh", "-c", f"exit {code}")

    assert ran.code == code
    assert ran.err.splitlines()[-2:] == [
        f"clkeepalived: {there} is unchanged, version 1",
        f"clkeepalived: {missing} is missing",
    ]


@extended
async def test_an_upload_that_is_shorter_than_a_look_is_still_the_commands_own(
    lab: Place, tmp_path: Path
) -> None:
    iso = image(tmp_path, "short.iso", 1000)

    ran = await lab.exec(
        "--item", "templates/short", "--", *UPLOADER, str(iso), "--item", "templates/short"
    )

    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1].startswith("clkeepalived: templates/short arrived, version 2")


@extended
async def test_what_is_kept_is_said_at_once(lab: Place, iso: Path) -> None:
    go_on = iso.with_name("go on")
    async with lab.started("--", *UPLOADER, str(iso), "--gap", str(go_on)) as process:
        said = await line_of(process.stderr, "keeping ")
        go_on.touch()
        await ended(process)

    assert said == "clkeepalived: keeping templates/image alive\n"


@extended
async def test_a_vcenter_that_does_not_list_sessions_is_said_and_for_how_long(
    lab: Place, tmp_path: Path
) -> None:
    async with begun(lab, tmp_path / "end") as process:
        lab.simulator.faults.add(Fail(500), route="update_session.list")
        said = await line_of(process.stderr, "cannot be asked for its sessions: HTTP 500")
        (tmp_path / "end").touch()
        ran = await ended(process)

    assert "lab cannot be asked for its sessions: HTTP 500" in said
    assert re.search(r"lab could not be asked for its sessions for \d+ s: HTTP 500", ran.err)
