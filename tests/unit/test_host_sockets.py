"""A listening Unix socket: bound safely, or passed by systemd."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keepalived.host.sockets import LONGEST_PATH, SocketError, activated_socket, listen_unix
from tests.support.users import NOBODY, needs_root

ACTIVATED = """
import json, os, socket, sys
from keepalived.host.sockets import SocketError, activated_socket
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    handed = activated_socket(os.environ)
except SocketError as error:
    print("refused:", error)
else:
    left = [name for name in os.environ if name.startswith("LISTEN_")]
    print(handed and handed.getsockname(), left, handed and handed.get_inheritable())
"""

DIE = """
import os, pathlib, sys
from keepalived.host.sockets import listen_unix
listener = listen_unix(pathlib.Path(sys.argv[1]))
os.kill(os.getpid(), 9)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_socket_is_for_its_owner_and_its_group_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    umask = os.umask(0)
    try:
        listener = listen_unix(path)
    finally:
        os.umask(umask)

    assert mode(path) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()


def test_the_mode_is_right_from_the_first_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control.sock"
    seen: list[int] = []

    def look(*_args: object, **_named: object) -> None:
        seen.append(mode(path))

    monkeypatch.setattr(os, "chown", look)

    listen_unix(path, gid=os.getegid()).close()

    assert seen == [0o660]


def test_the_umask_is_left_as_it_was(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        listen_unix(tmp_path / "control.sock").close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(umask)


@needs_root
def test_the_group_is_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    listener = listen_unix(path, gid=NOBODY)

    assert path.stat().st_gid == NOBODY
    listener.close()


def test_a_group_that_cannot_be_given_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    path = tmp_path / "control.sock"

    with pytest.raises(SocketError, match="choose another path or group"):
        listen_unix(path, gid=1)

    assert not path.exists()


def test_a_second_daemon_is_refused_and_the_first_undisturbed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    first = listen_unix(path)
    inode = path.stat().st_ino

    with pytest.raises(SocketError, match="another daemon listens on"):
        listen_unix(path)

    assert path.stat().st_ino == inode
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    first.close()


def test_a_live_socket_that_somebody_else_made_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        stranger.listen()

        with pytest.raises(SocketError, match="another program listens on"):
            listen_unix(path)

        assert path.exists()


def test_one_whose_backlog_is_full_is_alive_too(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with (
        socket.socket(socket.AF_UNIX) as stranger,
        socket.socket(socket.AF_UNIX) as first,
    ):
        stranger.bind(str(path))
        stranger.listen(0)
        first.connect(str(path))

        with pytest.raises(SocketError, match="another program listens on"):
            listen_unix(path)


def test_the_socket_of_a_daemon_that_died_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    subprocess.run([sys.executable, "-c", DIE, str(path)], check=False)
    assert path.exists()

    listener = listen_unix(path)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")

    with pytest.raises(SocketError, match="is not a socket"):
        listen_unix(path)

    assert path.read_text() == "precious"


def test_the_lock_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "control.sock.lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(SocketError, match="cannot open"):
        listen_unix(tmp_path / "control.sock")

    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match=r"missing/control\.sock\.lock.*create it"):
        listen_unix(tmp_path / "missing" / "control.sock")


def test_a_path_that_is_too_long_is_refused_in_words(tmp_path: Path) -> None:
    longest = tmp_path / ("x" * (LONGEST_PATH - len(str(tmp_path)) - 1))
    listen_unix(longest).close()
    with pytest.raises(SocketError, match="has 108 bytes, but a socket's may have only 107"):
        listen_unix(longest.with_name(longest.name + "x"))
    assert os.listdir(tmp_path) == [f"{longest.name}.lock"]


def test_closing_twice_or_after_the_file_changed_removes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    listener = listen_unix(path)
    path.unlink()
    path.write_text("somebody else's")

    listener.close()
    listener.close()

    assert path.read_text() == "somebody else's"


def activated(listening: list[socket.socket], fds: str | None = None) -> str:
    """Run a process as systemd would, with sockets from descriptor 3 on, and return its words."""
    environ = {**os.environ, "LISTEN_FDS": fds or str(len(listening)), "LISTEN_FDNAMES": "x"}
    command = " ".join(
        ["exec", f'"{sys.executable}"', "-c", '"$CODE"']
        + [f"{place}<&{each.fileno()}" for place, each in enumerate(listening, start=3)]
    )
    ran = subprocess.run(
        ["bash", "-c", command],
        env={**environ, "CODE": ACTIVATED},
        pass_fds=[each.fileno() for each in listening],
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.strip()


def a_socket(path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(str(path))
    if kind == socket.SOCK_STREAM:
        made.listen()
    # Away from the numbers that it will be handed over as.
    moved = socket.socket(fileno=os.dup(made.fileno()))
    made.close()
    return moved


def test_systemd_s_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with a_socket(path) as listening:
        words = activated([listening])

    assert words == f"{path} [] False"


def test_more_than_one_socket_is_one_too_many(tmp_path: Path) -> None:
    with a_socket(tmp_path / "one") as first, a_socket(tmp_path / "two") as second:
        assert activated([first, second]).startswith("refused: systemd passed 2 sockets")


def test_a_datagram_socket_is_refused(tmp_path: Path) -> None:
    with a_socket(tmp_path / "one", socket.SOCK_DGRAM) as datagrams:
        assert "not a listening Unix stream socket" in activated([datagrams])


def test_a_socket_of_the_internet_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as internet:
        assert "not a listening Unix stream socket" in activated([internet])


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
    ],
)
def test_without_activation_there_is_none(told: dict[str, str]) -> None:
    environ = {**told, "HOME": "/"}

    assert activated_socket(environ) is None
    assert environ == {"HOME": "/"}
