"""Log events as journal entries."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from keepalived.host.journal import JournalSocket
from keepalived.observe.handlers import BackgroundHandler, JournalSink, StreamSink
from keepalived.observe.journal import fields_of
from keepalived.observe.logs import configure_logging

pytestmark = pytest.mark.usefixtures("untouched_root")

LONGEST = 1 << 20


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket in the place of journald's."""
    path = tmp_path / "journal"
    monkeypatch.setattr(JournalSocket.__init__, "__defaults__", (path,))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(60)
        yield listening


def entry(journald: socket.socket) -> dict[str, str]:
    """Return the next entry, which has no field of several lines."""
    lines = journald.recv(LONGEST).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_context_becomes_fields_and_the_level_a_priority(journald: socket.socket) -> None:
    configure_logging(format="journal", level="info", stream=io.StringIO())
    log = structlog.get_logger("test").bind(vcenter="lab", session_id="a:b")
    log.error("session_ended", state="EXPIRED", held_seconds=12.5, item=None)
    assert entry(journald) == {
        "MESSAGE": "session_ended vcenter=lab session_id=a:b state=EXPIRED held_seconds=12.5",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "clkeepalived",
        "EVENT": "session_ended",
        "VCENTER": "lab",
        "SESSION_ID": "a:b",
        "STATE": "EXPIRED",
        "HELD_SECONDS": "12.5",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_every_level_has_its_priority(level: str, priority: str) -> None:
    assert fields_of({"level": level, "event": "x"})["PRIORITY"] == priority


def test_words_for_people_come_first_and_stay_on_one_line() -> None:
    fields = fields_of(
        {"level": "info", "event": "idle", "message": "ending,\nas configured", "note": "a b"}
    )
    assert fields["MESSAGE"] == 'idle (ending, as configured) note="a b"'
    assert fields["NOTE"] == "a b"


def test_names_that_journald_keeps_to_itself_cannot_be_forged() -> None:
    fields = fields_of(
        {"level": "info", "event": "x", "_pid": 1, "priority": 0, "9lives": 1, "ä-b": [1]}
    )
    assert fields["PRIORITY"] == "6"
    assert fields["PRIORITY_"] == "0"
    assert fields["PID"] == "1"
    assert fields["LIVES"] == "1"
    assert fields["B"] == "[1]"
    assert all(not name.startswith("_") and name.isascii() for name in fields)


def test_secrets_are_redacted_here_as_well(journald: socket.socket) -> None:
    configure_logging(format="journal", level="info", stream=io.StringIO())
    structlog.get_logger("test").info("x", password="hunter2", detail="token=hunter2")
    assert b"hunter2" not in journald.recv(LONGEST)


def test_a_traceback_is_a_field_and_below_the_message(journald: socket.socket) -> None:
    configure_logging(format="journal", level="info", stream=io.StringIO())
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    written = journald.recv(LONGEST)
    assert written.startswith(b"MESSAGE\n")
    assert b"EXCEPTION\n" in written
    assert written.count(b"ValueError: broken") == 2


def test_auto_is_the_journal_where_stderr_leads_there(
    journald: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stderr").open("w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        configure_logging(format="auto", level="info", stream=stream)
        structlog.get_logger("test").info("hello")
        assert entry(journald)["EVENT"] == "hello"
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        configure_logging(format="auto", level="info", stream=stream)
        structlog.get_logger("test").info("elsewhere")
        logging.getLogger().handlers[-1].flush()
        stream.seek(0)
        assert json.loads(stream.read())["event"] == "elsewhere"


def test_without_a_journal_the_lines_go_to_the_stream(tmp_path: Path) -> None:
    stream = io.StringIO()
    sink = JournalSink(JournalSocket(tmp_path / "nobody"), StreamSink(stream))
    handler = BackgroundHandler(sink)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.info(json.dumps({"level": "info", "event": "hello"}))
    handler.flush()
    handler.close()
    assert json.loads(stream.getvalue())["event"] == "hello"


def test_losses_are_told_once_the_journal_takes_entries_again(journald: socket.socket) -> None:
    configure_logging(format="journal", level="info", stream=io.StringIO())
    log = structlog.get_logger("test")
    for number in range(3000):
        log.info("hello", number=number, text="x" * 1000)
    # The writer may get its turn in between, so that there are several gaps: each is told where
    # it is, with its size.
    accounted = lost = 0
    while accounted < 3000:
        found = entry(journald)
        if found["EVENT"] == "log_entries_lost":
            lost += int(found["COUNT"])
            accounted += int(found["COUNT"])
        else:
            assert int(found["NUMBER"]) == accounted
            accounted += 1
    assert (accounted, lost > 0) == (3000, True)
