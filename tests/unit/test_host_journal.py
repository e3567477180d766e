"""Entries as journald receives them, read from a real datagram socket."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived.host.journal import JournalSocket, is_journal, serialize
from tests.support.timeouts import TIMEOUT_SECONDS


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(TIMEOUT_SECONDS)
        yield listening


@pytest.fixture
def journal(journald: socket.socket) -> Iterator[JournalSocket]:
    sending = JournalSocket(Path(journald.getsockname()))
    yield sending
    sending.close()


def test_a_field_is_a_line(journal: JournalSocket, journald: socket.socket) -> None:
    journal.send({"MESSAGE": "ready", "SESSION_ID": "a:b"})
    assert journald.recv(4096) == b"MESSAGE=ready\nSESSION_ID=a:b\n"


def test_a_value_of_several_lines_says_how_long_it_is() -> None:
    entry = serialize([("MESSAGE", "first\nsecond"), ("EVENT", "x=y")])
    assert entry == b"MESSAGE\n\x0c\x00\x00\x00\x00\x00\x00\x00first\nsecond\nEVENT=x=y\n"


def test_what_is_no_text_is_written_so_that_it_can_be_read() -> None:
    assert serialize([("MESSAGE", "\udcff ü")]) == "MESSAGE=\\udcff ü\n".encode()


def test_a_large_entry_travels_as_a_sealed_file(
    journal: JournalSocket, journald: socket.socket
) -> None:
    long = "x" * 2_000_000
    journal.send({"MESSAGE": long})
    data, ancillary, _, _ = journald.recvmsg(4096, socket.CMSG_SPACE(4))
    assert data == b""
    ((_, _, rights),) = ancillary
    (descriptor,) = array.array("i", rights)
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        assert file.read() == f"MESSAGE={long}\n".encode()
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)


def test_no_journal_at_all_is_an_error(tmp_path: Path) -> None:
    journal = JournalSocket(tmp_path / "nobody")
    with pytest.raises(FileNotFoundError):
        journal.send({"MESSAGE": "lost"})
    journal.close()


def test_the_journal_is_recognised_by_its_file(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("w") as file:
        found = os.fstat(file.fileno())
        assert is_journal(file.fileno(), f"{found.st_dev}:{found.st_ino}")
        assert not is_journal(file.fileno(), f"{found.st_dev}:{found.st_ino + 1}")
        assert not is_journal(file.fileno(), "")
    assert not is_journal(999_999, "1:2")
