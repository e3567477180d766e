"""How requests reach a vCenter: the interface, and its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

from keepalived.lease.answers import Outcome

IDLE_SECONDS = 600.0
"""How long an unused connection is kept: longer than the pause between two renewals."""

BESIDES = 2
"""Concurrent requests in addition to those of the keeper's workers: probes, and those of
`Keeper.aside`."""


class Reply(NamedTuple):
    """An HTTP answer. Header names are looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No complete answer arrived. The message is for people and contains no secret."""

    outcome = Outcome.UNREACHABLE
    """The outcome of a request that ends with this error."""


class TimedOut(TransportError):
    """The answer did not come in time."""

    outcome = Outcome.TIMED_OUT


class ConnectFailed(TransportError):
    """No connection could be made, or it broke: name resolution, refusal, reset, TLS."""


class AnswerTooLong(TransportError):
    """The answer's body exceeded the limit."""


class NotSent(ConnectFailed):
    """No descriptor or memory was left for a connection: says nothing about the server."""

    outcome = Outcome.NOT_SENT


class StaleConnection(ConnectFailed):
    """A pooled connection had been closed by the server in the meantime.

    Says nothing about the server's health: the request may be repeated at once.
    """


class Transport(Protocol):
    """Sends requests to one vCenter."""

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request and return the whole answer, whatever its status.

        `path` is an absolute path with query, sent unchanged; redirects are not followed.
        `timeout` bounds the whole request, in seconds. Raises TransportError.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class UploadTransport(Transport, Protocol):
    """A transport that can also send content as a stream."""

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send `size` bytes of content by PUT, without a time limit, and return the answer.

        `url` is a whole URL, as returned by servers. An answer that arrives before all content was
        sent ends the upload. Raises TransportError.
        """
        ...
