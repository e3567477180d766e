"""What follows from an answer beyond the new state: for somebody to carry out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.endings import Ending
from keepalived.lease.holds import Hold, Owner


class Renewed(NamedTuple):
    """A keep-alive succeeded with `slack` seconds left (None if it was the first one)."""

    first: bool
    slack: float | None
    progress: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed; the next one follows in `retry_in` seconds."""

    outcome: Outcome
    detail: str
    retry_in: float
    slack: float | None


@dataclass(frozen=True, slots=True)
class LifetimeLearned:
    """The server's answers say that the session lives for `after` seconds.

    `configured` is what the configuration says, and `clock_ahead` by how many seconds the server's
    `Date` is ahead of this machine's clock, where that is known.
    """

    before: float
    after: float
    configured: float | None = field(default=None, compare=False)
    clock_ahead: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class WithoutEffect:
    """A renewal succeeded and did not move `expiration_time`, `left` seconds from now.

    Said once until one moves it.
    """

    left: float | None


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file of the session went into ERROR."""

    file: FileInfo


@dataclass(frozen=True, slots=True)
class Stalled:
    """A transfer that was moving has stood still for `idle` seconds; said once until it moves."""

    idle: float


@dataclass(frozen=True, slots=True)
class Moving:
    """A transfer that had stalled moves again."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A session that nobody registered stood still for too long: this hold was let go."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The vCenter does not take an uploader's token any more; other ways are tried at once."""

    uid: int
    owner: Owner


@dataclass(frozen=True, slots=True)
class Ended:
    """The session reached a final state."""

    ending: Ending


Effect = (
    Renewed
    | Failed
    | LifetimeLearned
    | WithoutEffect
    | FileFailed
    | Stalled
    | Moving
    | Abandoned
    | TokenRefused
    | Ended
)
