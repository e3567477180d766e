"""Requests and responses of the simulator, independent of its HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `target` is path and query as on the wire; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. Header names are lower case.

    If there is a `stream`, it returns the body piece by piece, and nothing at its end; it raises
    Dropped if it breaks off. The header `content-length` then holds its size.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[], bytes] | None = None


class Dropped(Exception):
    """The fault in force closes the connection instead of answering."""


class RefusedConnection(Exception):
    """The fault in force accepts no connection."""
