"""The head of a request, the same on every way to a vCenter."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from keepalived.vcenter.bodies import ACCEPT_ENCODING

DEFAULT_HEADERS = {
    "user-agent": "clkeepalived/" + importlib.metadata.version("content-library-keepalived"),
    "accept": "application/json",
    "accept-encoding": ACCEPT_ENCODING,
}


def header_lines(headers: Mapping[str, str]) -> str:
    """Return headers as they are sent."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def write_head(
    method: str, path: str, defaults: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """Return the head of a request; `defaults` are the lines of headers that all requests have.

    Raises ValueError for what would become another request.
    """
    length = f"content-length: {len(body)}\r\n" if body or method != "GET" else ""
    own = header_lines(headers)
    head = f"{method} {path} HTTP/1.1\r\n{defaults}{own}{length}\r\n"
    lines = defaults.count("\n") + len(headers) + bool(length) + 2
    if head.count("\n") != lines or head.count("\r") != lines or " " in path:
        raise ValueError("there is a line break in a header, or a blank in the path")
    return head.encode()
