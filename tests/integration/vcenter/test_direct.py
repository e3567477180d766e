"""What only the direct transport decides: addresses, names in TLS, and data at odd times."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from keepalived.vcenter.connection import Connection
from keepalived.vcenter.failures import NO_ANSWER
from keepalived.vcenter.resolver import Addresses
from keepalived.vcenter.transport import TimedOut
from tests.integration.simulator_support import write_certificate
from tests.support.peers import (
    NO_CONTENT,
    Scripted,
    answer,
    listening,
    read_request,
    sha256_of,
    tls_with,
)
from tests.support.transports import Lane, Names, failure, post


@pytest.fixture
def lane(scheme: str, certificate: Path) -> Lane:
    return Lane("direct", certificate if scheme == "https" else None)


def at(*hosts: str) -> Any:
    """Return a lookup that finds these addresses for every name."""

    async def look_up(_host: str, port: int) -> Addresses:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port)) for host in hosts]

    return look_up


# Addresses

_TWO = ("127.0.0.2", "127.0.0.1")


async def test_an_address_that_refuses_is_passed_over(lane: Lane) -> None:
    async with (
        lane.listening(Scripted([NO_CONTENT])) as port,
        lane.transport(port, host="vcsa.test", lookup=at(*_TWO), insecure=True) as transport,
    ):
        assert (await post(transport)).status == 204


async def test_a_certificate_is_told_of_rather_than_an_address_that_refuses(
    certificate: Path,
) -> None:
    lane = Lane("direct", certificate)
    async with lane.listening(Scripted([NO_CONTENT])) as port:
        for lookup in (at(*_TWO), at(*reversed(_TWO))):
            async with lane.transport(port, host="vcsa.test", lookup=lookup) as transport:
                assert "not valid for 'vcsa.test'" in str(await failure(transport))


async def test_all_addresses_refuse(lane: Lane) -> None:
    async with lane.listening(Scripted([])) as port:
        pass
    async with lane.transport(port, host="vcsa.test", lookup=at(*_TWO)) as transport:
        words = f"cannot connect to vcsa.test:{port}: Connection refused"
        assert str(await failure(transport)) == words


@pytest.mark.parametrize("is_pinned", [True, False])
async def test_an_address_with_another_certificate_is_passed_over(
    tmp_path: Path, is_pinned: bool
) -> None:
    right = write_certificate(tmp_path / "right.pem", "vcsa.test")
    other = write_certificate(tmp_path / "other.pem", "vcsa.test")
    strange, own = Scripted([NO_CONTENT]), Scripted([NO_CONTENT])
    lane, trust = Lane("direct", right), {}
    if is_pinned:
        trust = {"ca_file": None, "fingerprints": [sha256_of(right)]}
    async with (
        lane.listening(own) as port,
        listening(strange, tls=tls_with(other), host=_TWO[0], port=port),
        lane.transport(port, host="vcsa.test", lookup=at(*_TWO), **trust) as transport,
    ):
        assert (await post(transport)).status == 204
    assert (len(own.requests), strange.requests) == (1, [])


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("vcsa.test", "vcsa.test"),
        ("vcsa.test.", "vcsa.test"),
        ("vcsa.test..", "vcsa.test"),
        ("vcsä.test", "xn--vcs-sla.test"),
    ],
)
async def test_a_server_is_told_its_name(
    lane: Lane, certificate: Path, host: str, sent: str
) -> None:
    named: list[str | None] = []

    def on_name(_tls: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        named.append(name)

    context = None
    if lane.certificate is not None:
        context = tls_with(certificate)
        context.sni_callback = on_name
    server = Scripted([NO_CONTENT])
    async with (
        listening(server, tls=context) as port,
        lane.transport(port, host=host, lookup=Names(), insecure=True) as transport,
    ):
        await post(transport)
    assert f"\r\nhost: {sent}:{port}\r\n" in server.requests[0]
    assert named == ([] if context is None else [sent])


async def test_a_name_that_none_can_have(lane: Lane) -> None:
    async with lane.transport(443, host=f"{'x' * 70}.test") as transport:
        assert str(await failure(transport)) == f"the name {'x' * 70}.test cannot be resolved"


async def test_an_ipv6_address(lane: Lane) -> None:
    server = Scripted([NO_CONTENT])
    context = None if lane.certificate is None else tls_with(lane.certificate)
    try:
        async with (
            listening(server, tls=context, host="::1") as port,
            lane.transport(port, host="[::1]", insecure=True) as transport,
        ):
            await post(transport)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    assert f"\r\nhost: [::1]:{port}\r\n" in server.requests[0]


async def test_the_last_good_addresses_serve_when_dns_fails(lane: Lane) -> None:
    names = Names()
    closing = answer(b"", "200 OK", "Connection: close")
    server = Scripted([closing])
    async with (
        lane.listening(server) as port,
        lane.transport(port, host="vcsa.test", lookup=names, insecure=True) as transport,
    ):
        await post(transport)
        names.fails = True
        await post(transport)
        assert server.connections == 2
    async with lane.transport(port, host="vcsa.test", lookup=names, insecure=True) as transport:
        assert str(await failure(transport)) == "the name vcsa.test cannot be resolved"


# Time


async def test_a_handshake_that_is_not_answered(certificate: Path) -> None:
    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    lane = Lane("direct", certificate)
    async with listening(hang) as port, lane.transport(port) as transport:
        assert type(await failure(transport, timeout=0.2)) is TimedOut


async def test_each_request_has_a_time_of_its_own(lane: Lane) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            if "/slow" in request:
                await asyncio.sleep(3.3)
            if "/never" in request:
                await asyncio.sleep(3600)
            writer.write(NO_CONTENT)

    loop = asyncio.get_running_loop()
    async with lane.listening(serve) as port, lane.transport(port) as transport:
        # On the same connection: neither does an earlier limit end a later request…
        await post(transport, timeout=60.0)  # connects
        await post(transport, timeout=3.0)
        assert (await post(transport, "/slow", timeout=60.0)).status == 204
        started = loop.time()
        # … nor does a later one delay the end.
        assert type(await failure_of(transport, "/never", timeout=0.2)) is TimedOut
        assert loop.time() - started < 30.0


async def failure_of(transport: Any, path: str, timeout: float) -> Exception:
    with pytest.raises(TimedOut) as caught:
        await post(transport, path, timeout=timeout)
    return caught.value


# Data at odd times


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", {"the answer is not HTTP"}),
        (
            b"",
            {NO_ANSWER, "Connection reset by peer"},
        ),
    ],
)
async def test_a_server_that_speaks_first(lane: Lane, greeting: bytes, words: set[str]) -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        for _ in range(5):
            assert str(await failure(transport)) in words


async def test_a_refusal_before_the_request(lane: Lane) -> None:
    """As of a gateway that has too many connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", "503 Service Unavailable", "connection: close"))
        await reader.read()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        for _ in range(5):
            assert (await post(transport)).status == 503


async def test_half_an_answer_too_many_is_not_completed_by_the_next(lane: Lane) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        is_first = connections == 1
        while await read_request(reader):
            writer.write(NO_CONTENT + (b"HTTP/1.1 40" if is_first else b""))

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        for _ in range(3):
            assert (await post(transport)).status == 204
    assert connections == 2


async def test_data_on_an_idle_connection_closes_it(lane: Lane) -> None:
    may_speak, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(NO_CONTENT)
        await may_speak.wait()
        writer.write(NO_CONTENT)
        await reader.read()
        over.set()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        await post(transport)
        may_speak.set()
        async with asyncio.timeout(60):
            await over.wait()


# Ends


@pytest.mark.parametrize("head", ["", "connection: close\r\ncontent-length: 3000000\r\n"])
@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_long_answer_is_whole_though_the_server_closes(
    lane: Lane, head: str, is_announced: bool
) -> None:
    """Also where over TLS nothing but the connection's end shows the end."""
    body = b"y" * 3_000_000

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if lane.certificate is not None:
                sock = tls_with(lane.certificate).wrap_socket(sock, server_side=True)
            sock.recv(65536)
            sock.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)
            if is_announced and isinstance(sock, ssl.SSLSocket):
                sock.setblocking(False)
                with suppress(OSError):
                    sock.unwrap()
            sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        async with lane.transport(listener.getsockname()[1]) as transport:
            for _ in range(10):
                assert (await post(transport, timeout=60.0)).body == body
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


# Memory


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_a_closed_connection_leaves_nothing_to_collect(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has the interpreter search for garbage as rarely as it can."""
    made: list[weakref.ref[Connection]] = []
    begin = Connection.connection_made

    def note(self: Connection, transport: asyncio.BaseTransport) -> None:
        made.append(weakref.ref(self))
        begin(self, transport)

    monkeypatch.setattr(Connection, "connection_made", note)
    closing = Scripted([answer(b"{}", "200 OK", "connection: close")])
    with no_collector():
        async with lane.listening(closing) as port, lane.transport(port) as transport:
            for _ in range(3):
                await post(transport)
        await asyncio.sleep(0.01)
        assert len(made) == 3
        assert [each() for each in made] == [None] * 3
