"""Which proxy to use: the configured one, or the one that the environment names, as in Go.

govc and Terraform are written in Go and run in the same shell, so the variables mean the same here
as in Go's `golang.org/x/net/http/httpproxy`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

from keepalived.settings import VCenterSettings
from keepalived.settings.values import PORTS
from keepalived.vcenter.transport import ConnectFailed

_PREFIX_LENGTH = re.compile("/[0-9]{1,3}$")
"""Python accepts masks as well, but Go does not."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_for(settings: VCenterSettings, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy's URL, or None to connect directly.

    A configured proxy is always used. Otherwise HTTPS_PROXY (HTTP_PROXY for http) and NO_PROXY
    count, in upper case before lower case; ALL_PROXY and .netrc never do.
    """
    if settings.proxy is not None:
        return settings.proxy
    url = urlsplit(settings.url)
    proxy = _variable(environ, f"{url.scheme}_proxy").strip()
    host = url.hostname or ""
    if not proxy or _is_direct(host, url.port or PORTS[url.scheme], _variable(environ, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def check_proxy(url: str) -> None:
    """Raise ConnectFailed for a proxy that cannot be used.

    The message repeats nothing of the URL, which may hold a password.
    """
    if http_parts(url) is None:
        raise ConnectFailed(
            "the proxy is not an HTTP proxy: write http://HOST:PORT, or put the vCenter in NO_PROXY"
        )


def http_parts(url: str) -> SplitResult | None:
    """Return the parts of an HTTP server's URL; None for anything else."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_good else None


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether connections to a host bypass the proxy: always true for loopback."""
    host = host.lower()
    address = _address(host)
    if host.removesuffix(".") == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        wanted_port in ("", str(port)) and _matches(pattern, host, address)
        for pattern, wanted_port in _patterns(no_proxy)
    )


def _patterns(no_proxy: str) -> Iterator[tuple[str, str]]:
    """Yield the entries of NO_PROXY with their ports; an empty port means any."""
    for entry in no_proxy.lower().split(","):
        pattern = entry.strip()
        if not pattern:
            continue
        name, colon, port = pattern.rpartition(":")
        if "/" in pattern or not colon or _address(pattern) is not None:
            yield pattern, ""
        elif name.strip("*"):  # `*` means all hosts where it stands alone
            # An IPv6 address is in brackets if, and only if, a port follows.
            yield name.removeprefix("[").removesuffix("]"), port


def _matches(pattern: str, host: str, address: IPAddress | None) -> bool:
    """Whether an entry of NO_PROXY matches a host.

    An entry is `*`, an address, a network such as 10.0.0.0/8, or a name, which means its
    subdomains as well; `.name` and `*.name` mean the subdomains alone.
    """
    if pattern == "*":
        return True
    if "/" in pattern:
        return address is not None and _is_in_network(address, pattern)
    if (named := _address(pattern)) is not None:
        return named == address
    if pattern.startswith((".", "*.")):
        return host.endswith(pattern.removeprefix("*"))
    return host == pattern or host.endswith(f".{pattern}")


def _is_in_network(address: IPAddress, pattern: str) -> bool:
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
    return address in network and _PREFIX_LENGTH.search(pattern) is not None


def _address(text: str) -> IPAddress | None:
    """Return an IP address, unwrapping IPv4 addresses in IPv6 form; None for a name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
