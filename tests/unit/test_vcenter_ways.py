"""The way to a vCenter: which proxy, which addresses, and a failed try in words."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest

from keepalived.settings import VCenterSettings
from keepalived.validation import validate
from keepalived.vcenter.failures import describe_error
from keepalived.vcenter.proxies import check_proxy, proxy_for
from keepalived.vcenter.resolver import TIMEOUT_SECONDS, Addresses, RememberingResolver
from keepalived.vcenter.transport import ConnectFailed

HOST = "vcsa.test"


PROXY = "http://p:3128"


def proxy(url: str, proxy: str | None = None, **environ: str) -> str | None:
    settings = validate(VCenterSettings, {"url": url, "proxy": proxy})
    return proxy_for(settings, environ)


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (f"https://{HOST}", {}, None),
        (f"https://{HOST}", {"HTTPS_PROXY": PROXY}, PROXY),
        (f"https://{HOST}", {"https_proxy": PROXY}, PROXY),
        (f"https://{HOST}", {"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, PROXY),
        (f"https://{HOST}", {"HTTPS_PROXY": "p:3128"}, PROXY),
        (f"https://{HOST}", {"HTTP_PROXY": PROXY}, None),
        (f"http://{HOST}", {"HTTP_PROXY": PROXY}, PROXY),
        # Go does not know it.
        (f"https://{HOST}", {"ALL_PROXY": PROXY}, None),
        (f"https://{HOST}", {"all_proxy": "socks5://p:1080"}, None),
    ],
)
def test_the_environment_names_the_proxy(
    url: str, environ: dict[str, str], expected: str | None
) -> None:
    assert proxy(url, **environ) == expected


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("vcsa.test", "*"),
        ("vcsa.test", "vcsa.test"),
        ("vcsa.test", " other.test , VCSA.test"),
        ("vcsa.test", "test"),
        ("vcsa.test", ".test"),
        ("vcsa.test", "*.test"),
        ("vcsa.test:8443", "vcsa.test"),
        ("vcsa.test:8443", "vcsa.test:8443"),
        ("vcsa.test", "vcsa.test:443"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3:443"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "10.9.9.9/8"),
        ("10.1.2.3", "::ffff:10.1.2.3"),
        ("[fd00::1]", "fd00::1"),
        ("[fd00::1]", "[fd00::1]:443"),
        ("10.1.2.3", "10.0.0.0/08"),
        ("vcsa.test", "*.test:443"),
        ("[fd00::1]:8443", "[fd00::1]:8443"),
        ("[fd00::1]", "fd00::/8"),
        # Whatever NO_PROXY says.
        ("localhost:8443", ""),
        ("localhost.", ""),
        ("127.0.0.1", ""),
        ("127.9.9.9:8443", ""),
        ("[::1]", ""),
        ("[::ffff:127.0.0.1]", ""),
    ],
)
def test_what_bypasses_the_proxy(host: str, no_proxy: str) -> None:
    assert proxy(f"https://{host}", HTTPS_PROXY=PROXY, NO_PROXY=no_proxy) is None
    assert proxy(f"https://{host}", https_proxy=PROXY, no_proxy=no_proxy) is None


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("vcsa.test", ""),
        ("vcsa.test", ",, ,"),
        ("vcsa.test", "csa.test"),
        ("vcsa.test", "*csa.test"),
        ("vcsa.test", ".vcsa.test"),
        ("vcsa.test", "*.vcsa.test"),
        ("vcsa.test", "vcsa.test:8443"),
        ("vcsa.test", ":443"),
        ("vcsa.test", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3:8443"),
        ("10.1.2.3", "11.0.0.0/8"),
        ("10.1.2.3", "10.0.0.0/99"),
        ("10.1.2.3", "10.1.2.3/a/b"),
        ("[fd00::1]", "10.0.0.0/8,::1"),
        ("[fd00::1]", "[fd00::1]"),
        ("[fd00::1]", "[fd00::]/8"),
        ("10.1.2.3", "10.0.0.0/255.0.0.0"),
        ("10.1.2.3", "10.0.0.0/+8"),
        ("10.1.2.3", "010.1.2.3"),
        ("vcsa.test", "*:443"),
        ("vcsa.test", "*."),
        ("vcsa.test", "vcsa.test."),
        ("vcsa.test.", "vcsa.test"),
        ("vcsa.test", "vcsa.test:0443"),
        ("localhost.test", "localhost"),
    ],
)
def test_what_goes_through_the_proxy(host: str, no_proxy: str) -> None:
    assert proxy(f"https://{host}", HTTPS_PROXY=PROXY, NO_PROXY=no_proxy) == PROXY


@pytest.mark.parametrize("host", [HOST, "127.0.0.1"])
def test_a_configured_proxy_is_always_used(host: str) -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}
    assert proxy(f"https://{host}", "http://mine:2", **environ) == "http://mine:2"


@pytest.mark.parametrize(
    "url", ["socks5://user:hunter2@p:1080", "http://", "http://[", "http://p:x", "http://p:0"]
)
def test_proxies_that_cannot_be_spoken_to(url: str) -> None:
    with pytest.raises(ConnectFailed) as caught:
        check_proxy(url)
    assert "write http://HOST:PORT" in str(caught.value)
    assert "hunter2" not in str(caught.value)


class Names:
    """Answers after `seconds`, or fails."""

    def __init__(self) -> None:
        self.address = "192.0.2.1"
        self.seconds = 0.0
        self.fails = False
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Addresses:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (self.address, port))]


async def address(resolver: RememberingResolver) -> str:
    (found,) = await resolver.resolve(HOST, 443)
    return str(found[4][0])


@pytest.mark.looptime
async def test_the_last_good_addresses_serve_while_dns_fails() -> None:
    names = Names()
    resolver = RememberingResolver(names)
    assert await address(resolver) == "192.0.2.1"
    names.address = "192.0.2.2"
    assert await address(resolver) == "192.0.2.2"
    names.fails = True
    assert await address(resolver) == "192.0.2.2"
    with pytest.raises(OSError, match="Temporary failure"):
        await resolver.resolve("never-resolved.test", 443)
    await resolver.close()


@pytest.mark.looptime
async def test_the_last_good_addresses_serve_while_dns_is_silent() -> None:
    names = Names()
    resolver = RememberingResolver(names)
    await address(resolver)
    names.seconds, names.address = 30.0, "192.0.2.2"
    loop = asyncio.get_running_loop()
    for tries in (1, 2, 3):
        assert await address(resolver) == "192.0.2.1"
        assert loop.time() == pytest.approx(tries * TIMEOUT_SECONDS)
    # One question is enough, and its late answer is good for whoever comes after it.
    assert names.asked == 2
    await asyncio.sleep(30)
    names.seconds = 0.0
    names.fails = True
    assert await address(resolver) == "192.0.2.2"
    await resolver.close()


async def asking_for(seconds: float) -> tuple[Names, RememberingResolver, asyncio.Task[str]]:
    """Begin to ask a name server that takes so long, and wait a second."""
    names = Names()
    names.seconds = seconds
    resolver = RememberingResolver(names)
    asking = asyncio.create_task(address(resolver))
    await asyncio.sleep(1)
    return names, resolver, asking


@pytest.mark.looptime
async def test_whoever_waits_shares_a_question_and_may_leave() -> None:
    names, resolver, first = await asking_for(seconds=10.0)
    second = asyncio.create_task(address(resolver))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "192.0.2.1"
    assert names.asked == 1
    await resolver.close()


@pytest.mark.looptime
async def test_closing_does_not_wait_for_dns() -> None:
    _, resolver, waiting = await asking_for(seconds=1000.0)
    await resolver.close()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('::1', 1)"), "Connection refused"),
        (ConnectionResetError(), "ConnectionResetError"),
        (OSError("Multiple exceptions: a, b"), "Multiple exceptions: a, b"),
        (ssl.SSLError(1, "[SSL: X] x (_ssl.c:1)"), "no TLS: no reason given"),
        (FileNotFoundError(2, "No such file", "/ca.pem"), "ca_file /ca.pem: No such file"),
        (ValueError("https://user:hunter2@x"), "the request cannot be sent (ValueError)"),
    ],
)
def test_failures_in_words(error: Exception, words: str) -> None:
    assert describe_error(error) == words
