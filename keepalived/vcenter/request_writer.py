"""Writes requests as bytes."""

from __future__ import annotations

from collections.abc import Mapping

from keepalived.vcenter.bodies import ACCEPT_ENCODING
from keepalived.version import VERSION

DEFAULT_HEADERS = {
    "user-agent": f"clkeepalived/{VERSION}",
    "accept": "application/json",
    "accept-encoding": ACCEPT_ENCODING,
}


class RequestWriter:
    """Writes requests with the same default headers for one server."""

    def __init__(self, defaults: Mapping[str, str]) -> None:
        self._defaults = _lines(defaults)
        # The token and the content type are the same in most requests.
        self._last: dict[str, str] = {}
        self._headers = self._defaults

    def write(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return a request. Raises ValueError for one that would become another, or two."""
        if headers != self._last:
            own = _lines(headers)
            if not own.count("\n") == own.count("\r") == len(headers):
                raise ValueError("there is a line break in a header")
            self._last, self._headers = dict(headers), self._defaults + own
        if " " in path or "\n" in path or "\r" in path:
            raise ValueError("there is a blank or a line break in the path")
        length = f"content-length: {len(body)}\r\n" if body or method != "GET" else ""
        return f"{method} {path} HTTP/1.1\r\n{self._headers}{length}\r\n".encode() + body


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
