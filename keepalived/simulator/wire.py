"""HTTP messages without HTTP: what the simulated library is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `target` is path and query as on the wire; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """One response. Header names are lower case.

    Where there is a `stream`, it gives the body piece by piece, and nothing at its end; it raises
    Dropped where it breaks off. The header `content-length` then tells its size.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[], bytes] | None = None


class Dropped(Exception):
    """The fault in force closes the connection instead of answering."""


class RefusedConnection(Exception):
    """The fault in force accepts no connection."""
