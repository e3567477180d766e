"""Text to where nobody reads, whatever kind of file that is."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keepalived.wrapper.log import DisplayHandler
from keepalived.wrapper.nonblocking_writer import NonblockingWriter, writer_on

Ends = tuple[int, int]


@contextmanager
def a_pipe() -> Iterator[Ends]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


@contextmanager
def a_socket() -> Iterator[Ends]:
    """Standard error of a service whose output goes to the journal."""
    reading, writing = socket.socketpair()
    yield reading.detach(), writing.detach()


@pytest.mark.parametrize("ends", [a_pipe, a_socket])
@pytest.mark.parametrize("is_opened_anew", [True, False])
def test_nothing_waits_for_a_reader_and_nothing_is_torn(ends: object, is_opened_anew: bool) -> None:
    with ends() as (reading, writing):  # type: ignore[operator]
        if is_opened_anew:
            with os.fdopen(writing, "w") as stream:
                writer = writer_on(stream)
        else:  # as where another user owns the terminal
            writer = NonblockingWriter(writing)
        sent = "".join(f"line {number}\n" for number in range(100_000))
        writer.send(sent)
        assert not writer.is_clear

        received = b""
        while len(received) < len(sent):
            received += os.read(reading, 65536)
            writer.send()
        assert received.decode() == sent
        writer.close()


def test_what_libraries_log_is_said_in_one_line_without_secrets() -> None:
    said: list[str] = []
    logger = logging.Logger("test")
    logger.addHandler(DisplayHandler(said.append))
    logger.info("unimportant")
    try:
        raise ValueError("token=hunter2\nand more")
    except ValueError:
        logger.exception("it %s", "broke")
    logger.warning("%d", "no number")

    assert said == ["error: it broke (ValueError: token=*** and more)"]
