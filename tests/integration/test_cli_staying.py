"""Commands that stay: holds that live with a connection, and numbers from a pipe."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keepalived.lease.holds import OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from tests.support.cli import line_of, run, started
from tests.support.control import Control, running_control


def state(control: Control, session_id: str) -> State | None:
    session = control.registry.find(SessionKey("lab", Kind.UPDATE, session_id))
    return None if session is None else session.state


def progress(control: Control, session_id: str) -> int | None:
    (hold,) = control.holds(session_id)
    return hold.progress.client_progress


# -- hold --while-connected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_holds_until_it_is_asked_to_end(control: Control, number: signal.Signals) -> None:
    session_id = control.open()
    async with started(control.path, "hold", session_id, "--while-connected") as process:
        await line_of(process.stdout, f"holding {session_id} of lab")
        await line_of(process.stdout, "renewed for the first time")
        (hold,) = control.holds(session_id)
        assert hold.owner.kind is OwnerKind.CONNECTION
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.decode().endswith("released\n")
    await control.until(lambda: state(control, session_id) is State.RELEASED)


async def test_a_killed_one_lets_go(control: Control) -> None:
    session_id = control.open()
    async with started(control.path, "hold", session_id, "--while-connected") as process:
        await line_of(process.stdout, "holding")
        process.kill()
    await control.until(lambda: state(control, session_id) is State.RELEASED)


async def test_it_ends_with_the_session_and_says_as_what(control: Control) -> None:
    session_id = control.open()
    async with started(control.path, "hold", session_id, "--while-connected") as process:
        await line_of(process.stdout, "renewed for the first time")
        ran = await run(control.path, "cancel", session_id, "--yes")
        assert ran.code == 0, ran.err
        out, _ = await process.communicate()
    assert process.returncode == 1
    assert "ended: CANCELED" in out.decode()


async def test_a_session_that_never_was_is_a_loss(control: Control) -> None:
    ran = await run(control.path, "hold", "no-such-session", "--while-connected")
    assert ran.code == 1, ran.err
    assert "ended: NOT_FOUND" in ran.out


async def test_a_hold_that_an_administrator_lets_go_is_let_go(control: Control) -> None:
    session_id = control.open()
    async with started(control.path, "hold", session_id, "--while-connected") as process:
        await line_of(process.stdout, "renewed for the first time")
        assert (await run(control.path, "release", session_id)).code == 0
        out, _ = await process.communicate()
    assert process.returncode == 0, out


async def test_it_comes_back_to_its_hold_after_a_restart(control: Control) -> None:
    session_id = control.open()
    async with started(control.path, "hold", session_id, "--while-connected") as process:
        await line_of(process.stdout, "renewed for the first time")
        await control.stop()
        await line_of(process.stderr, "trying to reconnect for 5m00s")
        await control.start()
        await line_of(process.stdout, "again")
        assert len(control.holds(session_id)) == 1
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    await control.until(lambda: state(control, session_id) is State.RELEASED)


@pytest.mark.extended
async def test_a_daemon_that_does_not_come_back_within_a_lifetime_is_given_up(
    tmp_path: Path,
) -> None:
    async with running_control(tmp_path, lifetime=20.0) as control:
        session_id = control.open()
        async with started(control.path, "hold", session_id, "--while-connected") as process:
            await line_of(process.stdout, "renewed for the first time")
            await control.stop()
            _, err = await process.communicate()
        await control.start()
    assert process.returncode == 69
    assert "Error: no socket at" in err.decode()


# -- progress -


@asynccontextmanager
async def telling(control: Control) -> AsyncIterator[tuple[str, Process, asyncio.StreamWriter]]:
    """Run a command that tells the progress of a session from a stream of numbers."""
    session_id = control.open()
    await run(control.path, "hold", session_id, "--no-owner")
    async with started(control.path, "progress", session_id, "-") as process:
        assert process.stdin is not None
        yield session_id, process, process.stdin


async def test_a_stream_of_numbers_is_told_as_it_rises(control: Control) -> None:
    async with telling(control) as (session_id, process, numbers):
        numbers.write(b"10\n30\n")
        await control.until(lambda: progress(control, session_id) == 30)
        numbers.write(b"20\n")
        numbers.write(b"6")
        out, err = await process.communicate(b"0\n70")
    assert (process.returncode, out, err) == (0, b"", b"")
    assert progress(control, session_id) == 70


async def test_a_stream_survives_a_restart(control: Control) -> None:
    async with telling(control) as (session_id, process, numbers):
        numbers.write(b"10\n")
        await control.until(lambda: progress(control, session_id) == 10)
        await control.stop()
        numbers.write(b"20\n")
        await line_of(process.stderr, "no socket")
        numbers.write(b"30\n")
        await control.start()
        await control.until(lambda: progress(control, session_id) == 30)
        await control.stop()
        # Even the last number, sent while the daemon was stopped, arrives.
        numbers.write(b"100\n")
        numbers.close()
        await line_of(process.stderr, "no socket")
        await control.start()
        assert await process.wait() == 0
    assert progress(control, session_id) == 100


async def test_a_stream_is_read_to_its_end_whatever_the_daemon_says(control: Control) -> None:
    async with started(control.path, "progress", "unknown-id", "-") as process:
        assert process.stdin is not None
        process.stdin.write(b"1\n")
        await line_of(process.stderr, "You hold no such session")
        for number in range(2, 100):
            process.stdin.write(b"%d\n" % number * 2000)
            await process.stdin.drain()
        _, err = await process.communicate(b"100\n")
    assert process.returncode == 1
    assert err == b""  # once is enough


async def test_what_is_no_number_is_warned_of_once(control: Control) -> None:
    session_id = control.open()
    await run(control.path, "hold", session_id, "--no-owner")
    noise = "".join(chr(each) for each in range(256)) * 100
    ran = await run(control.path, "progress", session_id, "-", stdin=f"{noise}\n42\n{noise}")
    assert ran.code == 0, ran.err
    assert ran.err.count("the input has no numbers") == 1
    assert "2> >(clkeepalived progress ID -)" in ran.err
    assert progress(control, session_id) == 42
    assert (await run(control.path, "progress", session_id, "-", stdin=noise)).code == 2


async def test_a_time_limit_lives_on_numbers_that_do_not_rise(control: Control) -> None:
    session_id = control.open()
    await run(control.path, "hold", session_id, "--ttl", "5m")
    async with started(control.path, "progress", session_id, "-") as process:
        assert process.stdin is not None
        process.stdin.write(b"50\n")
        await control.until(lambda: progress(control, session_id) == 50)
        before = control.holds(session_id)[0].until
        async with asyncio.timeout(120):
            while control.holds(session_id)[0].until == before:
                process.stdin.write(b"50\n")
                await asyncio.sleep(0.2)
