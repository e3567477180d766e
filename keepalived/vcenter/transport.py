"""How requests reach a vCenter: the interface, and how it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

from keepalived.lease.answers import Outcome


class Reply(NamedTuple):
    """What came back. Header names are looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No whole answer came back. The message is for people and holds no secret."""

    outcome = Outcome.UNREACHABLE
    """What a request that ended so counts as."""


class TimedOut(TransportError):
    """The answer did not come in time."""

    outcome = Outcome.TIMED_OUT


class ConnectFailed(TransportError):
    """There is no connection, or it broke: name resolution, refusal, reset, TLS."""


class AnswerTooLong(TransportError):
    """The answer's body was longer than what is read."""


class NotSent(ConnectFailed):
    """There was no descriptor or no memory for a connection: the server has no part in it."""

    outcome = Outcome.NOT_SENT


class StaleConnection(ConnectFailed):
    """A pooled connection turned out to have been closed by the server in the meantime.

    Says nothing about the server's health: the request may be sent once more at once.
    """


class Transport(Protocol):
    """Sends requests to one vCenter."""

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request and return the whole answer, whatever its status.

        `path` is an absolute path with query, sent as it stands; redirects are not followed.
        `timeout` bounds everything, in seconds. Raises TransportError.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class UploadTransport(Transport, Protocol):
    """One that can send content as it comes, too."""

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send `size` bytes of content by PUT, for as long as that takes, and return the answer.

        `url` is a whole one, as servers tell where they take content. An answer that comes before
        all was sent ends it. Raises TransportError.
        """
        ...
