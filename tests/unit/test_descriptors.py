"""Descriptors: the limits on them, their shares, and their exhaustion."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keepalived.control.limits import DEFAULT_LIMITS, share_of
from keepalived.host import descriptors
from keepalived.keeper.reachability import FAILURES_UNTIL_DOWN, Reachability
from keepalived.lease.answers import Answer, Outcome
from keepalived.observe.logs import configure_logging
from keepalived.serving.acceptor import Acceptor
from keepalived.settings import VCenterSettings
from keepalived.validation import validate
from keepalived.vcenter.direct import DirectTransport
from keepalived.vcenter.transport import NotSent


@contextmanager
def soft_limit(number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def none_left() -> Iterator[None]:
    """Leave this process without a descriptor to open."""
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    highest = max(int(each) for each in os.listdir("/proc/self/fd"))
    fillers = []
    with soft_limit(highest + 1):
        try:
            while True:
                fillers.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            yield
        finally:
            for each in fillers:
                os.close(each)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    stream = io.StringIO()
    configure_logging(format="json", level="info", stream=stream)
    yield stream
    root.setLevel(level)
    root.handlers[:] = handlers


def test_the_soft_limit_is_raised_to_the_hard_one_but_not_beyond_what_is_useful() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = descriptors.MOST if hard == resource.RLIM_INFINITY else min(hard, descriptors.MOST)
    with soft_limit(512):
        assert descriptors.limit() == 512
        assert descriptors.raise_limit() == descriptors.limit() == top
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (top, hard)
        assert descriptors.raise_limit() == top


@pytest.mark.parametrize("limit", [64, 256, 512, 1024, 2048, 65536])
@pytest.mark.parametrize("vcenters", [0, 16, 160])
def test_all_doors_together_leave_vcenters_their_connections(limit: int, vcenters: int) -> None:
    shares = share_of(limit, vcenters)
    control = shares.control
    taken = control.connections + control.processes + shares.http_connections
    assert taken + vcenters + 96 <= limit or taken <= 8 + 1 + 4
    assert control.connections_reserved < control.connections
    assert control.connections <= DEFAULT_LIMITS.connections
    assert control.sessions == DEFAULT_LIMITS.sessions


def test_with_enough_descriptors_the_limits_are_the_usual_ones() -> None:
    assert share_of(2048, 100).control == DEFAULT_LIMITS


def test_what_was_not_sent_says_nothing_about_the_vcenter() -> None:
    reachability = Reachability()
    for _ in range(2 * FAILURES_UNTIL_DOWN):
        assert not reachability.note(Answer(Outcome.NOT_SENT, 0.0, 1.0))
    assert reachability.is_up
    for _ in range(FAILURES_UNTIL_DOWN):
        reachability.note(Answer(Outcome.UNREACHABLE, 0.0, 1.0))
    assert not reachability.note(Answer(Outcome.NOT_SENT, 2.0, 3.0))
    assert not reachability.is_up


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_request_without_a_descriptor_is_not_sent(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        settings = validate(VCenterSettings, {"url": f"http://{host}:{port}"})
        transport = DirectTransport(settings)
        try:
            with none_left(), pytest.raises(NotSent, match="no descriptor left"):
                await transport.send("GET", "/api/session", {}, b"", 30.0)
        finally:
            await transport.close()


async def test_without_descriptors_connections_wait_and_one_line_is_logged(
    log: io.StringIO,
) -> None:
    made: list[asyncio.BaseTransport] = []

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)

    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    clients = [socket.socket() for _ in range(20)]
    acceptor = Acceptor([listening], Greeter)
    try:
        with none_left():
            for each in clients:
                each.connect(listening.getsockname())
            async with asyncio.timeout(60):
                while "descriptors_exhausted" not in log.getvalue():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert made == []
        async with asyncio.timeout(60):
            while len(made) < len(clients):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        acceptor.close()
        for transport in made:
            transport.close()
        for each in clients:
            each.close()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["descriptors_exhausted"]
