"""Connections through a proxy, and those that bypass it."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived.vcenter.transport import ConnectFailed, Transport
from tests.support.peers import NO_CONTENT, Proxy, Scripted, answer, listening, sha256_of, tls_with
from tests.support.transports import transport_at

SECRET = "hunter2"


async def status(transport: Transport) -> int:
    return (await transport.send("GET", "/api/session", {}, b"", 5.0)).status


async def refusal(transport: Transport) -> str:
    with pytest.raises(ConnectFailed) as caught:
        await status(transport)
    return str(caught.value)


async def test_a_forward_proxy() -> None:
    server, proxy = Scripted([NO_CONTENT]), Proxy()
    async with (
        listening(server) as port,
        listening(proxy) as at,
        transport_at(f"http://127.0.0.1:{port}", proxy=f"http://127.0.0.1:{at}") as transport,
    ):
        assert await status(transport) == 204
    assert proxy.requests[0].startswith(f"GET http://127.0.0.1:{port}/api/session HTTP/1.1\r\n")
    assert server.requests[0].startswith("GET /api/session HTTP/1.1\r\n")


async def test_a_forward_proxy_with_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = Scripted([NO_CONTENT]), Proxy()
    async with listening(server) as port, listening(proxy) as at:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:{at}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with transport_at(f"http://vcsa.test:{port}") as transport:
            assert await status(transport) == 204
    assert "Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n" in proxy.requests[0]


@pytest.mark.parametrize("way", ["ca_file", "fingerprints", "insecure"])
async def test_a_tunnel(certificate: Path, way: str) -> None:
    trust = {"ca_file": certificate, "fingerprints": [sha256_of(certificate)], "insecure": True}[
        way
    ]
    server, proxy = Scripted([NO_CONTENT]), Proxy()
    async with (
        listening(server, tls=tls_with(certificate)) as port,
        listening(proxy) as at,
        transport_at(
            f"https://127.0.0.1:{port}", proxy=f"http://127.0.0.1:{at}", **{way: trust}
        ) as transport,
    ):
        assert await status(transport) == 204
        assert await status(transport) == 204
    # One tunnel for both, in which the proxy sees nothing.
    (request,) = proxy.requests
    assert request.startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")
    assert len(server.requests) == 2


async def test_a_tunnel_does_not_make_a_stranger_trusted(certificate: Path) -> None:
    server = Scripted([NO_CONTENT])
    async with listening(server, tls=tls_with(certificate)) as port, listening(Proxy()) as at:
        url, proxy = f"https://127.0.0.1:{port}", f"http://127.0.0.1:{at}"
        async with transport_at(url, proxy=proxy) as transport:
            assert await refusal(transport) == (
                "the certificate is not trusted: self-signed certificate"
            )
        async with transport_at(url, proxy=proxy, fingerprints=["0" * 64]) as transport:
            assert "not one of the pinned ones" in await refusal(transport)
    assert server.requests == []


async def test_a_proxy_with_a_password(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = Scripted([NO_CONTENT]), Proxy()
    async with listening(server, tls=tls_with(certificate)) as port, listening(proxy) as at:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{at}")
        async with transport_at(f"https://vcsa.test:{port}", insecure=True) as transport:
            assert await status(transport) == 204
    assert "Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n" in proxy.requests[0]
    assert "authorization" not in server.requests[0].lower()


async def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    required = answer(b"", "407 Proxy Authentication Required")
    async with listening(Proxy(required)) as at:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{at}")
        async with transport_at("https://vcsa.invalid") as transport:
            assert await refusal(transport) == "the proxy answered HTTP 407"


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(Proxy()) as at:
        pass
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{at}")
    async with transport_at("https://vcsa.invalid") as transport:
        assert await refusal(transport) == "cannot connect to the proxy: Connection refused"
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@proxy.invalid:3128")
    async with transport_at("https://vcsa.invalid") as transport:
        assert await refusal(transport) == "the proxy's name cannot be resolved"


async def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://user:{SECRET}@127.0.0.1:1080")
    async with transport_at("https://vcsa.invalid") as transport:
        words = await refusal(transport)
    assert words == (
        "the proxy is not an HTTP proxy: write http://HOST:PORT, or put the vCenter in NO_PROXY"
    )


async def test_loopback_is_not_proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = Scripted([NO_CONTENT]), Proxy()
    async with listening(server) as port, listening(proxy) as at:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{at}")
        async with transport_at(f"http://127.0.0.1:{port}") as transport:
            assert await status(transport) == 204
    assert proxy.requests == []
    assert len(server.requests) == 1
