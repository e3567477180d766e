"""Files that cannot be read, and reads that never end: other files are still read."""

from __future__ import annotations

import asyncio
import glob
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keepalived.host import blocking, files
from keepalived.host.files import FileTooLargeError, UnfitFileError, read_file
from keepalived.settings import ConfigError, VCenterSettings, load_settings
from keepalived.settings.sessions import parse_sessions
from keepalived.sources import attempts, file_scan, named_files
from keepalived.validation import validate
from keepalived.vcenter import secrets, tls
from keepalived.vcenter.connect import build_transport
from keepalived.vcenter.secrets import SecretError, read_password
from keepalived.vcenter.transport import ConnectFailed
from tests.support.yaml_site import site

GOOD = "sessions: [{id: good}]"


class Mount:
    """A file system that may stop answering: whoever looks at a file there waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self._dead: set[str] = set()
        stat, listed = os.stat, glob.glob

        def slow_stat(path: Any, *args: Any, **how: Any) -> os.stat_result:
            self._wait(str(path))
            return stat(path, *args, **how)

        def slow_glob(pattern: str, *args: Any, **how: Any) -> list[str]:
            self._wait(pattern)
            return listed(pattern, *args, **how)

        self._patched = monkeypatch
        self._patches = (slow_stat, slow_glob)

    def _wait(self, path: str) -> None:
        if path in self._dead and threading.current_thread() is not threading.main_thread():
            self._answers.wait()

    def die(self, *paths: Path | str) -> None:
        self._answers.clear()
        self._dead = set(map(str, paths))
        slow_stat, slow_glob = self._patches
        self._patched.setattr(os, "stat", slow_stat)
        self._patched.setattr(glob, "glob", slow_glob)

    def come_back(self) -> None:
        self._dead = set()
        self._answers.set()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake clocks cannot make time pass for a thread: all waiting is shorter instead."""
    monkeypatch.setattr(attempts, "SECONDS", 2.0)
    monkeypatch.setattr(attempts, "_FIRST_TIMEOUT", 0.5)
    monkeypatch.setattr(secrets, "_SECONDS", 0.3)


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mount]:
    mount = Mount(monkeypatch, tmp_path)
    yield mount
    mount.come_back()


async def until(condition: Any, seconds: float = 300.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what threads do is no event
            await asyncio.sleep(0.05)


@pytest.mark.looptime
async def test_the_other_files_go_on_being_watched_while_a_look_hangs(
    tmp_path: Path, mount: Mount
) -> None:
    dead = tmp_path / "a.yaml"
    dead.write_text("sessions: [{id: theirs}]")
    async with site(tmp_path) as there:
        mount.die(dead)
        there.write("b.yaml", GOOD)
        await until(lambda: "good" in there.holds())
        await until(lambda: there.source.hanging == (str(dead),))
        await until(lambda: there.ear.heard)
        ((kind, name, words),) = there.ear.heard
        assert (kind, name) == ("failed", "a.yaml")
        assert "takes over 30 s; is" in words
        there.write("b.yaml", "sessions: [{id: good}, {id: later}]")
        await until(lambda: "later" in there.holds())
        assert "theirs" in there.holds()
        mount.come_back()
        await until(lambda: ("recovered", "a.yaml") in there.ear.heard)
        assert there.source.hanging == ()


@pytest.mark.looptime
async def test_a_file_that_hangs_from_the_start_holds_up_nobody(
    tmp_path: Path, mount: Mount
) -> None:
    dead = tmp_path / "a.yaml"
    dead.write_text("sessions: [{id: theirs}]")
    (tmp_path / "b.yaml").write_text(GOOD)
    mount.die(dead)
    async with site(tmp_path) as there:  # which has waited until it is certain
        assert set(there.holds()) == {"good"}
        assert there.source.hanging == (str(dead),)
        mount.come_back()
        await until(lambda: "theirs" in there.holds())


@pytest.mark.looptime
async def test_a_folder_that_cannot_be_listed_lets_nothing_go(tmp_path: Path, mount: Mount) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    async with site(tmp_path) as there:
        mount.die(f"{tmp_path}/*.yaml")
        await until(lambda: there.source.hanging)
        await there.source.apply(there.settings)
        assert set(there.holds()) == {"good"}
        mount.come_back()
        there.write("b.yaml", "sessions: [{id: new}]")
        await until(lambda: "new" in there.holds())
        assert there.ear.heard[-1] == ("recovered", "*.yaml")


@pytest.mark.looptime
async def test_a_transferred_file_that_hangs_is_a_problem_of_its_line(
    tmp_path: Path, mount: Mount
) -> None:
    big = tmp_path / "disk.vmdk"
    big.write_bytes(b"x" * 100)
    mount.die(big)
    (tmp_path / "a.yaml").write_text(f"sessions: [{{id: a, path: {big}}}, {{id: good}}]")
    async with site(tmp_path) as there:
        assert set(there.holds()) == {"a", "good"}
        await until(lambda: there.ear.problems)
        assert str(big) in there.ear.problems[0]
        mount.come_back()
        await until(lambda: there.ear.heard[-1] == ("recovered", "a.yaml"))


@pytest.mark.looptime
async def test_a_problem_that_was_told_stays_until_it_is_certain_that_a_look_hangs(
    tmp_path: Path, mount: Mount
) -> None:
    missing = tmp_path / "disk.vmdk"
    (tmp_path / "a.yaml").write_text(f"sessions: [{{id: a, path: {missing}}}]")
    async with site(tmp_path) as there:
        ((kind, _, words),) = there.ear.heard
        assert (kind, "no such file" in words) == ("failed", True)
        mount.die(missing)
        await until(lambda: len(there.ear.heard) > 1)
        ((kind, _, words),) = there.ear.heard[1:]
        assert (kind, "takes over 30 s" in words) == ("failed", True)


async def test_what_no_look_at_a_file_foresees_is_a_problem_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = parse_sessions

    def fail(file: str, *args: Any, **how: Any) -> Any:
        if file.endswith("a.yaml"):
            raise RecursionError
        return parse(file, *args, **how)

    monkeypatch.setattr(file_scan, "parse_sessions", fail)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"sessions: [{{id: {name}}}]")
    async with site(tmp_path) as there:
        assert set(there.holds()) == {"b"}
        assert "RecursionError" in there.ear.problems[0]


def test_a_pipe_is_read_where_a_person_may_mean_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UnfitFileError, match="not a regular file"):
        read_file(path, most=100)
    writer = threading.Thread(target=path.write_bytes, args=(b"x" * 100_000,))
    writer.start()
    assert read_file(path, most=200_000, pipes=True)[0] == b"x" * 100_000
    writer.join()


def test_a_silent_pipe_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.1)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="the pipe was not written and closed"):
        load_settings(path, {})
    with pytest.raises(ConfigError, match="not a regular file"):
        load_settings(path, {}, pipes=False)


def test_a_device_is_read_up_to_a_size() -> None:
    with pytest.raises(FileTooLargeError):
        read_file("/dev/zero", most=100, pipes=True)
    assert read_file("/dev/null", most=100, pipes=True)[0] == b""
    with pytest.raises(UnfitFileError):
        read_file("/dev/null", most=100)


def test_a_file_of_the_kernels_that_waits_is_no_regular_file() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may open the kernel's log")
    with pytest.raises(OSError, match=r"."):
        read_file("/proc/kmsg", most=1)


@pytest.mark.looptime
async def test_a_password_that_hangs_is_an_error_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    reads = []

    def hang(path: Path, **how: Any) -> Any:
        reads.append(path)
        answer.wait()
        return read_file(path, **how)

    monkeypatch.setattr("keepalived.vcenter.secrets.read_file", hang)
    path = tmp_path / "password"
    path.write_text("open sesame\n")
    lab = validate(
        VCenterSettings, {"url": "https://lab", "username": "u", "password_file": str(path)}
    )
    for _ in range(3):
        with pytest.raises(SecretError, match="it could not be read in"):
            await read_password(lab)
    assert reads == [path]
    answer.set()
    assert await read_password(lab) == "open sesame"


async def test_a_call_that_fails_after_everybody_left_says_nothing() -> None:
    gate = threading.Event()

    def fail() -> None:
        gate.wait()
        raise OSError

    with pytest.raises(TimeoutError):
        await blocking.call("x", fail, seconds=0)
    gate.set()
    with pytest.raises(OSError):  # noqa: PT011 - the one above
        await blocking.call("x", fail)


def test_named_files_are_regular_ones(tmp_path: Path) -> None:
    path = tmp_path / "token"
    os.mkfifo(path)
    with pytest.raises(UnfitFileError):
        named_files._token_in(path, None)


async def test_authorities_in_a_file_that_hangs_hold_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "_FILES_SECONDS", 0.3)
    path = tmp_path / "ca.pem"
    os.mkfifo(path)
    lab = validate(VCenterSettings, {"url": "https://127.0.0.1:9", "ca_file": str(path)})
    transport = build_transport(lab)
    for _ in range(2):
        with pytest.raises(ConnectFailed, match="ca_file: it could not be read"):
            await transport.send("GET", "/", {}, b"", 5.0)
    os.close(os.open(path, os.O_WRONLY))  # an empty one, by which the thread comes back
    with pytest.raises(ConnectFailed, match="no certificate"):
        await transport.send("GET", "/", {}, b"", 5.0)
    await transport.close()
