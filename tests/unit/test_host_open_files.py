"""The open files of a process tree, read from real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keepalived.host import open_files as module
from keepalived.host.open_files import OpenFile, largest_being_read, open_files, tree
from tests.support.users import NOBODY, needs_root

NO_PID = 2**22 - 1  # PID_MAX_LIMIT is 2**22, and the kernel's default far below
MIB = 1024 * 1024


@contextmanager
def script(text: str, *arguments: object, program: str = "sh") -> Iterator[int]:
    """A program that has said that it is ready, and now waits for its input to end."""
    with subprocess.Popen(
        [program, "-c", text, program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # pytest's is a file
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"ready\n"
            yield child.pid
        finally:
            child.stdin.close()


def opened(pid: int, path: Path) -> OpenFile:
    (found,) = [file for file in open_files(tree(pid)) if file.path == str(path)]
    return found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file of one MiB, which takes no room."""
    path = tmp_path / "disk 1.vmdk"
    with path.open("wb") as file:
        file.truncate(MIB)
    return path


@pytest.fixture(params=["listed by the kernel", "found by their parents"])
def children(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to find children: some kernels do not list them."""
    if request.param == "found by their parents":
        monkeypatch.setattr(module, "_kernel_lists_children", lambda: False)


@pytest.mark.usefixtures("children")
def test_a_tree_has_the_process_first_and_all_that_descend_from_it() -> None:
    text = "exec 3<&0; (sh -c 'cat <&3 & echo ready; wait'; :) & wait"
    with script(text) as pid:
        found = tree(pid)

        assert found[0] == pid
        parents = [int(Path(f"/proc/{each}/stat").read_text().split()[3]) for each in found]
        assert parents == [os.getpid(), *found[:3]]
        assert set(found) < set(tree(os.getpid()))


@pytest.mark.usefixtures("children")
def test_a_child_of_any_thread_belongs_to_the_tree() -> None:
    text = """
import subprocess, sys, threading
def run():
    subprocess.Popen(["cat"], stdin=sys.stdin)
    print("ready", flush=True)
    sys.stdin.read()
threading.Thread(target=run).start()
"""
    with script(text, program=sys.executable) as pid:
        assert len(tree(pid)) == 2


@pytest.mark.usefixtures("children")
def test_what_has_ended_has_no_tree() -> None:
    assert tree(NO_PID) == ()
    assert open_files([NO_PID]) == ()


def test_a_file_is_seen_with_its_size_and_how_far_it_was_read(image: Path) -> None:
    text = 'exec 5<"$1"; dd bs=1000 count=3 <&5 >/dev/null 2>&1; echo ready; cat'
    with script(text, image) as pid:
        assert opened(pid, image) == OpenFile(str(image), MIB, 3000, reading=True, writing=False)


def test_the_position_follows_the_reader(image: Path) -> None:
    text = 'exec 5<"$1"; echo ready; while read -r _; do dd bs=1000 count=1 <&5; done'
    with subprocess.Popen(
        ["sh", "-c", text, "sh", str(image)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        assert opened(child.pid, image).position == 0
        child.stdin.write(b"go on\n")
        child.stdin.flush()
        child.stdout.read(1000)
        # While dd ends, and the shell gives its own standard input back to itself.
        positions: set[int] = set()
        while (processes := tree(child.pid)) != (child.pid,):
            positions |= {f.position for f in open_files(processes) if f.path == str(image)}
        assert positions <= {1000}
        assert opened(child.pid, image).position == 1000
        child.stdin.close()


def test_a_descriptor_that_is_used_anew_meanwhile_is_left_out(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = image.with_name("another")
    other.write_bytes(b"content")
    descriptor, read = os.open(image, os.O_RDONLY), module._read
    os.lseek(descriptor, 1000, os.SEEK_SET)

    def read_too_late(path: str) -> str:
        if path.endswith(f"/fdinfo/{descriptor}"):
            with other.open("rb") as file:
                os.dup2(file.fileno(), descriptor)
        return read(path)

    assert opened(os.getpid(), image).position == 1000
    monkeypatch.setattr(module, "_read", read_too_late)
    try:
        assert str(image) not in {file.path for file in open_files([os.getpid()])}
    finally:
        os.close(descriptor)


def test_reading_is_told_from_writing(tmp_path: Path) -> None:
    text = 'cd "$1"; exec 5<read 6>written 7<>both 8>>appended; echo ready; cat'
    (tmp_path / "read").touch()
    with script(text, tmp_path) as pid:
        modes = {
            Path(file.path).name: (file.reading, file.writing)
            for file in open_files(tree(pid))
            if file.path.startswith(str(tmp_path))
        }
    assert modes == {
        "read": (True, False),
        "written": (False, True),
        "both": (True, True),
        "appended": (False, True),
    }


def test_only_regular_files_count(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    text = 'exec 5<>"$1"/fifo 6</dev/zero 7<"$1"; echo ready; cat'
    with script(text, tmp_path) as pid:
        assert open_files([pid]) == ()


def test_a_descriptor_that_only_names_a_file_reads_nothing(image: Path) -> None:
    text = """
import os, sys
os.open(sys.argv[2], os.O_PATH)
print("ready", flush=True)
sys.stdin.read()
"""
    with script(text, image, program=sys.executable) as pid:
        assert open_files([pid]) == ()


def test_a_file_that_two_processes_share_is_one(image: Path) -> None:
    text = 'exec 5<"$1" 3<&0; cat <&3 & echo ready; wait'
    with script(text, image) as pid:
        assert len(tree(pid)) == 2
        opened(pid, image)


def test_a_deleted_file_keeps_its_name(image: Path) -> None:
    with script('exec 5<"$1"; rm "$1"; echo ready; cat', image) as pid:
        assert opened(pid, image).size == MIB


def test_a_file_may_be_called_deleted(image: Path) -> None:
    odd = image.rename(image.with_name("x (deleted)"))
    with script('exec 5<"$1"; echo ready; cat', odd) as pid:
        opened(pid, odd)


def test_a_deleted_file_that_has_another_name_left_keeps_the_one_it_was_opened_by(
    image: Path,
) -> None:
    image.with_name("another").hardlink_to(image)
    with script('exec 5<"$1"; rm "$1"; echo ready; cat', image) as pid:
        opened(pid, image)


def test_a_name_that_is_no_utf_8_is_no_trouble(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"disk \xff\n.vmdk")
    odd.write_bytes(b"content")
    with script('exec 5<"$1"; echo ready; cat', odd) as pid:
        assert opened(pid, odd).size == 7


@needs_root
def test_what_may_not_be_looked_at_is_left_out(image: Path) -> None:
    with script('exec 5<"$1"; echo ready; cat', image) as pid:
        os.seteuid(NOBODY)
        try:
            seen = tree(pid)
            assert seen[0] == pid
            assert open_files(seen) == ()
        finally:
            os.seteuid(0)
        opened(pid, image)


def _file(size: int, position: int = 0, *, reading: bool = True) -> OpenFile:
    return OpenFile(f"/{size}", size, position, reading=reading, writing=not reading)


def test_the_largest_file_that_is_read_is_found() -> None:
    files = [_file(10), _file(30), _file(20), _file(40, reading=False)]
    assert largest_being_read(files) == _file(30)


def test_of_two_files_of_one_size_the_one_read_further_is_meant() -> None:
    assert largest_being_read([_file(10, 3), _file(10, 7), _file(10)]) == _file(10, 7)


def test_nothing_may_be_read_at_all() -> None:
    assert largest_being_read([]) is None
    assert largest_being_read([_file(0), _file(9, reading=False)]) is None


@pytest.mark.extended
def test_a_look_at_ten_processes_costs_little_more_than_the_kernel_takes(image: Path) -> None:
    spawn = """
import subprocess, sys
files = [open(sys.argv[2], "rb") for _ in range(8)]
children = [
    subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[file.fileno() for file in files])
    for _ in range(9)
]
print("ready", flush=True)
sys.stdin.read()
for child in children:
    child.communicate()
"""
    with script(spawn, image, program=sys.executable) as pid:
        processes = tree(pid)
        assert len(processes) == 10

        def ask_the_kernel() -> None:
            for each in processes:
                for name in os.listdir(f"/proc/{each}/fd"):
                    os.readlink(f"/proc/{each}/fd/{name}")
                    Path(f"/proc/{each}/fdinfo/{name}").read_text()

        rounds = range(20)
        kernel = min(cost(ask_the_kernel) for _ in rounds)
        look = min(cost(lambda: open_files(tree(pid))) for _ in rounds)
    assert look < 3 * kernel


def cost(work: Callable[[], object]) -> float:
    """Return the processor time that something takes."""
    before = time.process_time()
    work()
    return time.process_time() - before
