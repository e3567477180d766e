"""Checks and normalizes single values: URLs, names, addresses and fingerprints.

Every function raises ValueError with a message for the author of the value, which contains no value
that could be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
"""The default port of each scheme."""

_HOST = re.compile(r"[\w.-]+")
_NAME = re.compile(r"[A-Za-z0-9._:-]+")
_HEX = re.compile(r"[0-9a-f]*")
_OPENSSL_PREFIX = re.compile(r"^sha-?256( fingerprint)?[=: ]\s*", re.IGNORECASE)
_QUOTES = frozenset("\"'\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}")
_ENDS_OF_HOST = "/?#[]"
_END_OF_HOST = re.compile(r"[/?#]")
_SHA1_DIGITS, _SHA256_DIGITS = 40, 64

SHA256_HINT = (
    "take the SHA-256, which `clkeepalived check-config --connect` shows, or "
    "`openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint -sha256`"
)


class Address(NamedTuple):
    """The parts of a URL that name a server and a user. `port` is None for the default port."""

    scheme: str
    host: str
    port: int | None
    username: str | None
    password: str | None

    @property
    def url(self) -> str:
        """The server alone: scheme, host, and the port unless it is the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port is None else f":{self.port}")


def split_vcenter_url(text: str) -> Address:
    """Split a vCenter's URL, in any form that govc accepts.

    The default scheme is https, and a trailing `/sdk` is ignored.
    """
    address, path = _split(text, schemes=("https", "http"))
    if path.rstrip("/") not in ("", "/sdk"):
        raise ValueError(
            "must be the server alone, without a path: https://HOST or https://HOST:PORT"
        )
    return address


def vcenter_url(text: str) -> str:
    """Return a vCenter's URL as `https://host[:port]`."""
    address = split_vcenter_url(text)
    if address.password is not None:
        raise ValueError(
            "contains a password; remove `user:password@`, and give `username` and one of "
            "password_file, password_env or credential"
        )
    if address.username is not None:
        raise ValueError("contains a user; remove `user@`, and give it as `username`")
    return address.url


def proxy_url(text: str) -> str:
    """Return a proxy's URL as `http://host[:port]`."""
    address, path = _split(text, schemes=("http", "https"), default_scheme="http")
    if address.username is not None:
        raise ValueError(
            "contains a user or a password; remove `proxy`, and set the environment variable "
            "HTTPS_PROXY instead"
        )
    if path not in ("", "/"):
        raise ValueError("must be the proxy alone, without a path: http://HOST:PORT")
    return address.url


def _split(
    text: str, *, schemes: tuple[str, ...], default_scheme: str = "https"
) -> tuple[Address, str]:
    text = text.strip()
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        raise ValueError("contains quotes as part of the value; remove them")
    if "://" not in text:
        text = f"{default_scheme}://{text}"
    userinfo, at, rest = text.partition("://")[2].rpartition("@")
    if at and any(character in userinfo for character in _ENDS_OF_HOST):
        raise ValueError(
            "contains a user name or password with one of / ? # [ ]; write these percent-encoded, "
            "as %2F %3F %23 %5B %5D"
        )
    if "[" not in rest and _END_OF_HOST.split(rest, maxsplit=1)[0].count(":") > 1:
        raise ValueError(
            "contains an IPv6 address without brackets; write https://[2001:db8::1]:443"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL; write https://HOST or https://HOST:PORT") from None
    if parts.scheme not in schemes:
        raise ValueError(f"begins with {parts.scheme}://; write {schemes[0]}://HOST")
    if not _is_host(parts.hostname):
        raise ValueError("names no host; write https://HOST or https://HOST:PORT")
    if port == 0:
        raise ValueError("has port 0, which is not a valid port")
    if parts.query or parts.fragment:
        raise ValueError("must be the server alone; remove '?' or '#' and all that follows")
    if port == PORTS[parts.scheme]:
        port = None
    username, password = _userinfo(parts)
    return Address(parts.scheme, parts.hostname or "", port, username, password), parts.path


def _userinfo(parts: SplitResult) -> tuple[str | None, str | None]:
    username = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return username, password


def _is_host(host: str | None) -> bool:
    if not host:
        return False
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return _HOST.fullmatch(host) is not None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is a loopback one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def fingerprint(text: str) -> str:
    """Return a certificate's SHA-256, in any common notation, as 64 lower-case hex digits."""
    digits = _OPENSSL_PREFIX.sub("", text.strip()).replace(":", "").replace(" ", "").lower()
    if not _HEX.fullmatch(digits):
        raise ValueError("is not a fingerprint: 64 hex digits, with or without colons")
    if len(digits) == _SHA1_DIGITS:
        raise ValueError(f"is a SHA-1 fingerprint, which can be forged; {SHA256_HINT}")
    if len(digits) != _SHA256_DIGITS:
        raise ValueError(
            f"has {len(digits)} hex digits; the SHA-256 of a certificate has {_SHA256_DIGITS}"
        )
    return digits


def colons(digits: str) -> str:
    """Return a fingerprint in the notation of browsers and openssl."""
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2)).upper()


def vcenter_name(text: str) -> str:
    """Return `text` if it is a valid name for a vCenter in logs, metrics and paths."""
    if not _NAME.fullmatch(text) or text in (".", ".."):
        raise ValueError("a vCenter's name consists of letters, digits and . _ : -")
    return text


def split_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`.

    An IPv6 address is in brackets; no host means all addresses; port 0 means any free port.
    """
    host, colon, port = text.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isdecimal() or int(port) > 0xFFFF or (":" in bare and bare == host):
        raise ValueError(
            f"{text!r} is not HOST:PORT; write for example 127.0.0.1:9878, [::1]:9878 or :9878"
        )
    if bare and not _is_host(bare):
        raise ValueError(f"{text!r} names no host; write for example 127.0.0.1:9878")
    return bare, int(port)


def listen(text: str) -> str:
    """Return `text` if it is `HOST:PORT`."""
    split_listen(text)
    return text.strip()
