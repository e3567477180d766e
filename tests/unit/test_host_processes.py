"""Processes: distinguished, watched, and reported when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which

import pytest

from keepalived.host.clock import boot_id
from keepalived.host.processes import (
    CannotWatchError,
    NoSuchProcessError,
    Process,
    ProcessWatcher,
    is_in_inner_namespace,
    owner_uid,
    process,
)
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.users import NOBODY, needs_root

NO_PID = 2**22 - 1  # PID_MAX_LIMIT is 2**22, and the kernel's default far below


@contextmanager
def sleeper(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing for longer than any test."""
    with subprocess.Popen(command or ["sleep", "600"]) as child:
        try:
            yield child
        finally:
            child.kill()


@contextmanager
def watching(limit: int = 10) -> Iterator[ProcessWatcher]:
    watcher = ProcessWatcher(limit)
    try:
        yield watcher
    finally:
        watcher.close()


class Heard:
    """Notes which processes are said to have ended."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self._something = asyncio.Event()

    def __call__(self, ended: Process) -> None:
        self.processes.append(ended)
        self._something.set()

    async def of_something(self) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._something.wait()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_process_is_known_by_its_number_its_start_and_the_boot() -> None:
    ourselves = process(os.getpid())

    assert ourselves.pid == os.getpid()
    assert ourselves.boot_id == boot_id()
    assert Process.parse(str(ourselves)) == ourselves
    assert process(os.getpid()) == ourselves


def test_a_name_full_of_traps_does_not_shift_the_fields(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 2 ("
    program.symlink_to(which("sleep") or "")
    before = ticks()
    with sleeper(str(program), "600") as child:
        assert before <= process(child.pid).start <= ticks()
        assert Path(f"/proc/{child.pid}/comm").read_text() == f"{program.name}\n"


def ticks() -> int:
    """Return the time since the boot as the kernel counts it for processes."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


@pytest.mark.parametrize("text", ["", "1", "1:2", "a:b:c", "1:2:boot:more"])
def test_what_is_no_identity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Process.parse(text)


def test_there_is_no_process_without_one() -> None:
    for question in (process, owner_uid, is_in_inner_namespace):
        with pytest.raises(NoSuchProcessError):
            question(NO_PID)


def test_our_own_processes_are_ours_and_in_our_namespace() -> None:
    assert owner_uid(os.getpid()) == os.getuid()
    assert not is_in_inner_namespace(os.getpid())


@needs_root
def test_a_process_belongs_to_its_real_user() -> None:
    with subprocess.Popen(["sleep", "600"], user=NOBODY) as child:
        try:
            assert owner_uid(child.pid) == NOBODY
        finally:
            child.kill()


async def test_a_killed_process_is_heard_of_once() -> None:
    heard = Heard()
    with watching() as watcher, sleeper() as child:
        named = process(child.pid)
        watcher.watch(named, heard)
        assert named in watcher

        child.send_signal(signal.SIGKILL)
        await heard.of_something()

        assert heard.processes == [named]
        assert named not in watcher


@contextmanager
def one_pidfd_for(
    *asking: Heard,
) -> Iterator[tuple[ProcessWatcher, Process, subprocess.Popen[bytes]]]:
    """Watch a process for all who ask, until the block has made the watcher forget it."""
    with watching() as watcher, sleeper() as child:
        named = process(child.pid)
        before = open_descriptors()
        for heard in asking:
            watcher.watch(named, heard)
        assert open_descriptors() == before + 1
        yield watcher, named, child
        assert open_descriptors() == before


async def test_one_pidfd_serves_all_who_ask() -> None:
    first, second = Heard(), Heard()
    with one_pidfd_for(first, second, second) as (_, named, child):
        child.kill()
        await second.of_something()

        assert first.processes == second.processes == [named]


async def test_the_last_to_lose_interest_closes_the_pidfd() -> None:
    first, second = Heard(), Heard()
    with one_pidfd_for(first, second) as (watcher, named, _):
        watcher.forget(named, first)
        assert named in watcher
        watcher.forget(named, first)
        watcher.forget(named, second)

        assert named not in watcher


async def test_a_process_dead_at_the_start_is_not_watched() -> None:
    with sleeper("true") as child:
        named = process(child.pid)
        child.wait()
        with watching() as watcher, pytest.raises(NoSuchProcessError):
            watcher.watch(named, Heard())


async def test_one_that_nobody_has_waited_for_yet_has_ended() -> None:
    heard = Heard()
    with watching() as watcher, sleeper("true") as child:
        watcher.watch(process(child.pid), heard)
        await heard.of_something()


@pytest.mark.parametrize("difference", [{"start": 1}, {"boot_id": "another-boot"}])
async def test_a_number_that_went_to_another_process_is_not_the_one_meant(
    difference: dict[str, int | str],
) -> None:
    with watching() as watcher, sleeper() as child:
        before = open_descriptors()
        other = replace(process(child.pid), **difference)  # type: ignore[arg-type]

        with pytest.raises(NoSuchProcessError):
            watcher.watch(other, Heard())

        assert open_descriptors() == before


async def test_a_thread_is_no_process() -> None:
    await asyncio.to_thread(os.getpid)
    threads = {int(name) for name in os.listdir("/proc/self/task")} - {os.getpid()}
    with watching() as watcher, pytest.raises(NoSuchProcessError):
        watcher.watch(process(threads.pop()), Heard())


async def test_exec_changes_the_program_and_not_the_process() -> None:
    heard = Heard()
    # Says a word, and becomes another program that says another one.
    child = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        "echo before; read line; exec sh -c 'echo after; exec sleep 600'",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with watching() as watcher:
        assert await child.stdout.readline() == b"before\n"
        named = process(child.pid)
        watcher.watch(named, heard)

        child.stdin.write(b"go on\n")
        assert await child.stdout.readline() == b"after\n"

        assert process(child.pid) == named
        assert heard.processes == []
        child.kill()
        await heard.of_something()
        await child.communicate()


async def test_more_pidfds_than_allowed_are_not_opened() -> None:
    with watching(limit=1) as watcher, sleeper() as first, sleeper() as second:
        watcher.watch(process(first.pid), Heard())
        watcher.watch(process(first.pid), Heard())

        with pytest.raises(CannotWatchError, match="limit"):
            watcher.watch(process(second.pid), Heard())


async def test_a_kernel_without_pidfds_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with watching() as watcher, pytest.raises(CannotWatchError, match="not implemented"):
        watcher.watch(process(os.getpid()), Heard())
