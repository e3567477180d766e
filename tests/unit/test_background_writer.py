"""Log lines written in the background: in order, bounded, and lost lines are reported."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import structlog

from keepalived.host.background_writer import CAPACITY, BackgroundWriter, DescriptorSink
from keepalived.observe.handlers import BackgroundHandler, StreamSink
from keepalived.observe.logs import configure_logging

WITHIN = 60.0


class Gate:
    """A sink that takes nothing until it is opened, and fails where it is told to."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.lines: list[str] = []
        self.failing: set[str] = set()
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.closed = threading.Event()
        if is_open:
            self.opened.set()

    def write(self, line: str) -> None:
        self.entered.set()
        self.opened.wait()
        if line in self.failing:
            raise OSError
        self.lines.append(line)

    def close(self) -> None:
        self.closed.set()


def writer(gate: Gate, capacity: int = CAPACITY) -> BackgroundWriter:
    return BackgroundWriter(gate, "lost {}".format, capacity)


def test_lines_are_written_in_order() -> None:
    gate = Gate(is_open=True)
    lines = writer(gate)
    wanted = [str(number) for number in range(1000)]
    for line in wanted:
        lines.put(line)
    assert lines.flush(WITHIN)
    assert gate.lines == wanted


def test_what_does_not_fit_is_lost_and_told_where_it_is_missing() -> None:
    gate = Gate()
    lines = writer(gate, capacity=10)
    lines.put("first")
    assert gate.entered.wait(WITHIN)
    for line in ("a" * 10, "b", "c"):
        lines.put(line)
    gate.opened.set()
    assert lines.flush(WITHIN)
    lines.put("after")
    assert lines.flush(WITHIN)
    assert gate.lines == ["first", "a" * 10, "lost 2", "after"]


def test_what_cannot_be_written_is_counted_as_lost() -> None:
    gate = Gate(is_open=True)
    gate.failing = {"a", "b", "lost 1", "lost 2"}
    lines = writer(gate)
    for line in ("a", "b"):
        lines.put(line)
    assert lines.flush(WITHIN)
    gate.failing = set()
    lines.put("c")
    assert lines.flush(WITHIN)
    assert gate.lines == ["lost 2", "c"]


def test_a_flush_waits_no_longer_than_it_is_told_to() -> None:
    gate = Gate()
    lines = writer(gate)
    lines.put("stuck")
    assert not lines.flush(0.01)
    gate.opened.set()
    assert lines.flush(WITHIN)


def test_what_was_put_before_the_end_is_written_and_then_the_sink_is_closed() -> None:
    gate = Gate(is_open=True)
    lines = writer(gate)
    lines.put("last")
    lines.finish()
    assert gate.closed.wait(WITHIN)
    assert gate.lines == ["last"]
    unused = Gate()
    writer(unused).finish()
    assert unused.closed.is_set()


def test_a_descriptor_that_others_made_non_blocking_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    sink = DescriptorSink(writing)
    os.close(writing)
    sending = threading.Thread(target=sink.write, args=("x" * 500_000,))
    sending.start()
    received = b""
    while not received.endswith(b"\n"):
        received += os.read(reading, 65536)
    sending.join()
    sink.close()
    os.close(reading)
    assert received == b"x" * 500_000 + b"\n"


@pytest.mark.usefixtures("untouched_root")
@pytest.mark.parametrize("format", ["json", "console"])
def test_a_log_that_is_not_read_holds_nobody_up_and_tells_what_it_lost(format: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        configure_logging(format=format, level="info", stream=stream)
        log = structlog.get_logger("test")
        for number in range(3000):
            log.info("hello", number=number, text="x" * 1000)
        configure_logging(format=format, level="info", stream=stream)  # as a reload does
        log.info("reloaded")
    # The reader comes late. Whenever the pipe took some lines there was room for others again, so
    # lines may be missing in several places; each is told where it is, with its count.
    logging.getLogger().handlers[-1].close()
    accounted = seen = losses = 0
    with os.fdopen(reading) as lines:
        for line in lines:
            if "log_entries_lost" in line:
                losses += 1
                accounted += int(re.findall(r'count(?:=|": )(\d+)', line)[0])
            elif "hello" in line:
                assert int(re.findall(r'number(?:=|": )(\d+)', line)[0]) == accounted
                accounted += 1
                seen += 1
            else:
                assert "reloaded" in line
                accounted += 1
    assert losses > 0
    assert 0 < seen < 3000
    assert accounted == 3001


@pytest.mark.usefixtures("untouched_root")
def test_the_next_file_gets_what_is_logged_from_then_on(tmp_path: Path) -> None:
    paths = tmp_path / "first", tmp_path / "second"
    for path in paths:
        with path.open("w") as stream:
            configure_logging(format="json", level="info", stream=stream)
        structlog.get_logger("test").info(path.name)
        logging.getLogger().handlers[-1].flush()
    assert [events(path.read_text()) for path in paths] == [["first"], ["second"]]


def test_a_record_that_cannot_be_formatted_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = BackgroundHandler(StreamSink(stream))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.info("%d", "not a number")
    logger.info("fine")
    handler.flush()
    handler.close()
    lost, fine = stream.getvalue().splitlines()
    assert "log_entries_lost" in lost
    assert fine == "fine"
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("untouched_root")
def test_without_a_stderr_nothing_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    configure_logging(format="auto", level="info")
    structlog.get_logger("test").info("unheard")


def events(text: str) -> list[Any]:
    return [json.loads(line)["event"] for line in io.StringIO(text)]
