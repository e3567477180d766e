"""Whatever bytes a server sends, in whatever pieces: an answer or a failure, within limits."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.vcenter import bodies
from keepalived.vcenter.connection import HEADERS_MOST, LINE_MOST, Connection, Shared
from keepalived.vcenter.transport import Reply, TransportError
from tests.fuzz.damage import EXAMPLES, damaged, fuzzed

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

_PIECE = 64 * 1024
_ANSWERS = st.sampled_from(
    [
        b"HTTP/1.1 204 No Content\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-encoding: gzip\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nretry-after: 5\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n\x00",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}HTTP/1.1 200 OK\r\n",
    ]
)
_ENDS = st.sampled_from([None, ConnectionResetError(104, "Connection reset by peer")])


class Wire:
    """The transport below a connection: remembers whether it was closed and may be paused."""

    def __init__(self) -> None:
        self.is_aborted = False

    def is_closing(self) -> bool:
        return self.is_aborted

    def write(self, data: bytes) -> None:
        """Take a request."""

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        """Only happens behind another large answer."""


class Peer:
    """A connection, and the server at its other end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.wire = Wire()
        self.connection = Connection(loop, Shared())
        self.connection.connection_made(cast(asyncio.Transport, self.wire))
        self._loop = loop

    def exchange(self) -> asyncio.Future[Reply]:
        return self.connection.exchange(b"POST / HTTP/1.1\r\n\r\n", self._loop.time() + 60)

    def send(self, data: bytes) -> None:
        """Send bytes, as long as the connection is open."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            if self.wire.is_aborted:
                return
            self.connection.get_buffer(-1)[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))

    def end(self, error: Exception | None = None) -> None:
        """Close the connection."""
        self.connection.connection_lost(error)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@st.composite
def pieces(draw: st.DrawFn, wholes: st.SearchStrategy[bytes]) -> list[bytes]:
    """Return bytes in pieces that end anywhere."""
    whole = draw(wholes)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def outcome(answer: asyncio.Future[Reply]) -> Any:
    """Return what an exchange ended with, in a form that can be compared."""
    error = answer.exception()
    if error is None:
        reply = answer.result()
        return reply.status, dict(reply.headers), reply.body
    assert isinstance(error, TransportError)
    assert str(error).isprintable()
    return type(error), str(error)


@given(pieces(damaged(_ANSWERS) | st.binary(max_size=60)), _ENDS, st.booleans())
@fuzzed
def test_any_bytes_end_in_an_answer_or_a_failure(
    loop: asyncio.AbstractEventLoop, parts: list[bytes], end: Exception | None, is_reused: bool
) -> None:
    peer = Peer(loop)
    answer = peer.exchange()
    if is_reused:
        peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert answer.result().status == 204
        answer = peer.exchange()
    for part in parts:
        peer.send(part)
    if answer.done() and not peer.wire.is_aborted and peer.connection.is_reusable:
        second = peer.exchange()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown")
        # Nothing that came before belongs to the second answer.
        assert outcome(second) == (200, {"content-length": "3"}, b"own")
    peer.end(end)
    assert answer.done()
    outcome(answer)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, tuple[int, dict[str, str], bytes]]:
    """Return a valid answer as bytes, and its status, headers and body."""
    status = draw(st.sampled_from([200, 201, 400, 404, 503]))
    body = draw(st.binary(max_size=80))
    headers = {"date": "Fri, 15 Jan 2027 08:00:00 GMT", "x-Own": draw(st.sampled_from(["", "ä"]))}
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    sent = body
    if framing == "length":
        headers["Content-Length"] = str(len(body))
    elif framing == "chunks":
        headers["Transfer-Encoding"] = "chunked"
        size = draw(st.integers(1, 30))
        split = [body[at : at + size] for at in range(0, len(body), size)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in split) + b"0\r\n\r\n"
    interim = b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n" * draw(st.integers(0, 3))
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {each}" for name, each in headers.items())]
    raw = interim + "\r\n".join([*lines, "", ""]).encode() + sent
    return raw, (status, {name.lower(): each for name, each in headers.items()}, body)


@given(messages(), st.data())
@fuzzed
def test_an_answer_is_the_same_in_any_pieces(
    loop: asyncio.AbstractEventLoop,
    message: tuple[bytes, tuple[int, dict[str, str], bytes]],
    data: st.DataObject,
) -> None:
    raw, expected = message
    for parts in (
        [raw],
        [raw[at : at + 1] for at in range(len(raw))],
        data.draw(pieces(st.just(raw))),
    ):
        peer = Peer(loop)
        answer = peer.exchange()
        for part in parts:
            peer.send(part)
        peer.end()
        assert outcome(answer) == expected


@given(pieces(_ANSWERS.filter(lambda raw: b"101" not in raw)))
@fuzzed
def test_an_answer_that_is_cut_off_is_none(
    loop: asyncio.AbstractEventLoop, parts: Sequence[bytes]
) -> None:
    """Only the one that ends with the connection may be taken for shorter than it was."""
    whole, peer = b"".join(parts), Peer(loop)
    answer = peer.exchange()
    for part in parts[:-1]:
        peer.send(part)
    peer.end()
    if len(b"".join(parts[:-1])) < whole.find(b"\r\n\r\n") + 4:
        assert answer.exception() is not None
    outcome(answer)


def _endless(*repeated: bytes) -> Iterator[bytes]:
    first, *others = repeated
    yield first
    while True:
        yield from others


_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("repeated", "words"),
    [
        ((b"HTTP/1.1 200 ", b"x" * 1000), "more than 65536 bytes"),
        ((b"HTTP/1.1 200 OK\r\n", b"x" * 1000), "more than 65536 bytes"),
        ((b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1000), "more than 65536 bytes"),
        ((b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 9), "more than 512 headers"),
        ((b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 65000 + b"\r\n"), "more than 512 headers"),
        ((b"\r\n" * 1000, b"\r\n" * 1000), "more than 65536 bytes"),
        ((b"", b"HTTP/1.1 102 Processing\r\n\r\n"), "not HTTP"),
        ((_CHUNKED + b"2;", b"x" * 1000), "more than 65536 bytes"),
        ((_CHUNKED + b"0\r\n", b"x: y\r\n"), "more than 512 headers"),
        ((_CHUNKED + b"0\r\nx: ", b"y" * 1000), "more than 65536 bytes"),
        ((_CHUNKED, b"10\r\n0123456789abcdef\r\n" * 1000), "longer than 2 MiB"),
        ((_CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), "longer than 2 MiB"),
        ((b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536), "longer than 2 MiB"),
    ],
)
def test_nothing_without_an_end_fills_the_memory(
    loop: asyncio.AbstractEventLoop,
    repeated: tuple[bytes, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "BODY_MOST", 2 * 1024 * 1024)
    peer = Peer(loop)
    answer = peer.exchange()
    most = (HEADERS_MOST + 2) * 2 * LINE_MOST
    tracemalloc.start()
    try:
        for part in _endless(*repeated):
            peer.send(part)
            if answer.done():
                break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert words in str(answer.exception())
    assert peak < most
    assert peer.wire.is_aborted
    peer.end()
