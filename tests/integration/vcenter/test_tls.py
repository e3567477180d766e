"""Whom the transport trusts, over real TLS connections, and what it says of the others."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.host.clock import SystemClock
from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from keepalived.settings import VCenterSettings
from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from keepalived.validation import validate
from keepalived.vcenter.client import Client
from keepalived.vcenter.connect import build_transport
from keepalived.vcenter.transport import ConnectFailed, Reply, Transport
from tests.integration.simulator_support import write_certificate
from tests.support.engine import settings_of
from tests.support.peers import NO_CONTENT, Proxy, Scripted, answer, listening, sha256_of, tls_with
from tests.support.transports import WAYS
from tests.support.vcenter import changed

Open = Callable[..., Transport]


@pytest.fixture(params=WAYS)
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Open transports that are closed in the end."""
    async with AsyncExitStack() as stack:
        proxy = None
        if request.param == "proxy":
            proxy = f"http://127.0.0.1:{await stack.enter_async_context(listening(Proxy()))}"

        def open_transport(port: int, *, host: str = "127.0.0.1", **settings: Any) -> Transport:
            url = f"https://{host}:{port}"
            checked = validate(VCenterSettings, {"url": url, "proxy": proxy, **settings})
            transport = build_transport(checked)
            stack.push_async_callback(transport.close)
            return transport

        yield open_transport


async def ask(transport: Transport) -> Reply:
    return await transport.send("GET", "/", {}, b"", 5.0)


async def refusal(transport: Transport) -> str:
    with pytest.raises(ConnectFailed) as caught:
        await ask(transport)
    return str(caught.value)


@asynccontextmanager
async def server(certificate: Path, port: int = 0) -> AsyncIterator[int]:
    async with listening(Scripted([NO_CONTENT]), tls=tls_with(certificate), port=port) as bound:
        yield bound


async def test_the_systems_store_does_not_know_it(certificate: Path, opened: Open) -> None:
    async with server(certificate) as port:
        words = await refusal(opened(port))
    assert words == "the certificate is not trusted: self-signed certificate"


async def test_a_file_of_authorities(certificate: Path, opened: Open) -> None:
    async with server(certificate) as port:
        assert (await ask(opened(port, ca_file=certificate))).status == 204


async def test_another_name_than_the_certificates(certificate: Path, opened: Open) -> None:
    async with server(certificate) as port:
        words = await refusal(opened(port, host="localhost", ca_file=certificate))
    assert words.startswith("the certificate is not trusted: ")
    assert "'localhost'" in words


async def test_authorities_that_are_replaced(
    certificate: Path, opened: Open, tmp_path: Path
) -> None:
    trusted = tmp_path / "ca.pem"
    shutil.copy(certificate, trusted)
    renewed = write_certificate(tmp_path / "renewed.pem")
    async with server(certificate) as port:
        transport = opened(port, ca_file=trusted)
        assert (await ask(transport)).status == 204
    async with server(renewed, port):
        words = await refusal(transport)
        assert words == "the certificate is not trusted: self-signed certificate"
        shutil.copy(renewed, trusted)
        assert (await ask(transport)).status == 204


async def test_a_failed_handshake_leaves_requests_in_flight_alone(
    certificate: Path, opened: Open, tmp_path: Path
) -> None:
    """As behind a load balancer of which one node shows another certificate."""
    other = write_certificate(tmp_path / "other.pem")
    context = tls_with(certificate)
    held, release = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        held.set()
        await release.wait()
        writer.write(NO_CONTENT)
        await writer.drain()

    async with listening(slow, tls=context) as port:
        transport = opened(port, ca_file=certificate)
        first = asyncio.create_task(ask(transport))
        await held.wait()
        context.load_cert_chain(other)
        assert "not trusted" in await refusal(transport)
        release.set()
        assert (await first).status == 204


async def test_pinned_certificates(certificate: Path, opened: Open) -> None:
    pin, strange = sha256_of(certificate), "0" * 64
    async with server(certificate) as port:
        assert (await ask(opened(port, fingerprints=[pin]))).status == 204
        # A name that the certificate does not have does not matter: it is this very one.
        assert (await ask(opened(port, host="localhost", fingerprints=[pin]))).status == 204
        assert (await ask(opened(port, fingerprints=[strange, pin]))).status == 204
        words = await refusal(opened(port, fingerprints=[strange, "1" * 64]))
    assert words == f"the certificate is not one of the pinned ones: its SHA-256 is {pin}"


async def test_trusting_anybody(certificate: Path, opened: Open) -> None:
    async with server(certificate) as port:
        assert (await ask(opened(port, insecure=True))).status == 204


@pytest.mark.parametrize("ways", [{}, {"insecure": True}, {"fingerprints": ["0" * 64]}])
async def test_a_server_without_tls(opened: Open, ways: dict[str, Any]) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(b"", "400 Bad Request"))
        await writer.drain()

    async with listening(plain) as port:
        words = await refusal(opened(port, **ways))
    assert words == f"cannot connect to 127.0.0.1:{port}: no TLS: wrong version number"


async def test_files_of_authorities_that_cannot_be_used(
    certificate: Path, opened: Open, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    async with server(certificate) as port:
        transport = opened(port, ca_file=file)
        assert await refusal(transport) == f"ca_file {file}: No such file or directory"
        file.write_text("not a certificate\n")
        assert await refusal(transport) == f"ca_file {file}: it holds no certificate in PEM"
        shutil.copy(certificate, file)
        assert (await ask(transport)).status == 204


async def test_a_vcenter_over_tls(certificate: Path) -> None:
    simulator = Simulator()
    session = simulator.open_session()
    async with serve(simulator, ssl_context=tls_with(certificate)) as url:
        settings = changed(settings_of(simulator, url), ca_file=certificate)
        client = Client("lab", settings, build_transport(settings), SystemClock())
        assert (await client.who_am_i(timeout=5)).outcome is Outcome.OK
        got = await client.get(Kind.UPDATE, session, timeout=5)
        assert got.value is not None
        assert got.value.lifetime_left == pytest.approx(300.0, abs=2.0)
        await client.close(timeout=5)
    assert simulator.ledger.requests("session.delete")
