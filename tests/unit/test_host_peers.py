"""The credentials of the peer of a Unix socket."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keepalived.host.peers import PeerCredentials, peer_credentials
from tests.support.programs import needs
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.users import needs_root, open_directory

ACCEPT = """
import socket, sys
from keepalived.host.peers import peer_credentials
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print("listening", flush=True)
    connection, _ = listening.accept()
    print(peer_credentials(connection).pid, flush=True)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def met(directory: Path, **how: Any) -> tuple[PeerCredentials, int]:
    """Let a process connect, and return who it seems to be, and its pid."""
    path = directory / "socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o777)
        listening.listen()
        listening.settimeout(TIMEOUT_SECONDS)
        command = ["curl", "--silent", "--unix-socket", str(path), "http://localhost/"]
        with subprocess.Popen(command, **how) as process:
            connection, _ = listening.accept()
            with connection:
                return peer_credentials(connection), process.pid


@needs("curl")
def test_a_peer_has_the_pid_the_user_and_the_groups_that_it_connected_with(directory: Path) -> None:
    peer, pid = met(directory)

    assert peer.pid == pid
    assert (peer.uid, peer.gid) == (os.geteuid(), os.getegid())
    assert peer.groups >= set(os.getgroups()) - {os.getegid()}


@needs_root
def test_another_user_s_supplementary_groups_are_read(directory: Path) -> None:
    peer, _ = met(directory, user=65534, group=65534, extra_groups=[1234, 5678])

    assert (peer.uid, peer.gid, peer.groups) == (65534, 65534, frozenset({1234, 5678}))
    assert peer.is_member(5678)
    assert peer.is_member(65534)  # the primary group counts as well
    assert not peer.is_member(0)


@needs_root
def test_somebody_in_more_groups_than_can_be_read_is_in_none(directory: Path) -> None:
    peer, _ = met(directory, user=65534, group=65534, extra_groups=list(range(2000, 2300)))

    assert peer.groups == frozenset()
    assert not peer.is_member(2000)


def test_a_kernel_that_does_not_know_about_groups_is_told_from_one_that_does() -> None:
    class OldSocket:
        def getsockopt(self, _level: int, option: int, _size: int) -> bytes:
            if option == socket.SO_PEERCRED:
                return struct.pack("iII", 7, 1000, 100)
            raise OSError("Protocol not available")

    assert peer_credentials(OldSocket()) == PeerCredentials(7, 1000, 100)


@needs_root
def test_a_peer_outside_our_pid_namespace_has_no_number(directory: Path) -> None:
    path = directory / "socket"
    inside = ["unshare", "--pid", "--fork", sys.executable, "-c", ACCEPT, str(path)]
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            assert server.stdout.readline() == "0\n"
