"""Observations on a vCenter, as plain records without conclusions.

Times are in seconds. Missing observations are None, and `Notes.troubles` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from keepalived.lease.answers import Answer, Outcome


class Trial(StrEnum):
    """The trials, each on a scratch item of its own; the values are the names shown to users."""

    UNTOUCHED = "left untouched"
    GET = "looked at now and then"
    KEEP_ALIVE = "kept alive"
    PUT = "in one long PUT"
    WATCHED_PUT = "in a PUT, looked at"
    PROGRESS = "told of progress"

    @property
    def slug(self) -> str:
        """The suffix of its item's name."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Span:
    """How long a session lived: at least `least`, and at most `most`.

    `most` is None if it was still alive then. `state` is its final state if the server still knew
    it.
    """

    least: float
    most: float | None = None
    state: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the session was seen to have ended."""
        return self.most is not None


class Shift(NamedTuple):
    """By how much `expiration_time` moved between two readings that were `over` apart."""

    by: float
    over: float


@dataclass(frozen=True, slots=True)
class Reaction:
    """How a request was answered: HTTP status, and the vAPI error's type where one is named."""

    accepted: bool
    status: int | None
    error_type: str = ""

    @classmethod
    def of(cls, answer: Answer[object]) -> Reaction | None:
        """Convert an answer; None if there was none, or none that tells anything."""
        is_silence = answer.status is None or answer.outcome.is_vcenter_failure
        if is_silence or answer.outcome is Outcome.UNAUTHENTICATED:
            return None
        return cls(answer.outcome is Outcome.OK, answer.status, answer.error_type)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a trial could not be carried out; `detail` is the error of the server or network.

    Details may name hosts, which `words` never do.
    """

    words: str
    detail: str = ""


class Sample(NamedTuple):
    """The state of a file `at` seconds after the beginning of its PUT."""

    at: float
    bytes_transferred: int


@dataclass(slots=True)
class Notes:
    """All observations of one run.

    `announced` is how long a new session has left by its `expiration_time`. `watched_for` is how
    long the untouched session was watched at most. The spans count from the last activity that is
    not the one being tried: `got` and `kept` from the opening of the session, `put` from the
    beginning of the PUT. `progress_after` is the session's value after 50, 50 and 40 were reported.
    """

    announced: float | None = None
    untouched: Span | None = None
    got: Span | None = None
    kept: Span | None = None
    put: Span | None = None
    get_shift: Shift | None = None
    keep_alive_shift: Shift | None = None
    put_shift: Shift | None = None
    samples: tuple[Sample, ...] = ()
    bytes_sent: int = 0
    bytes_after: int | None = None
    put_end: Reaction | None = None
    second: Reaction | None = None
    rising: Reaction | None = None
    equal: Reaction | None = None
    lower: Reaction | None = None
    progress_after: int | None = None
    watched_for: float = 0.0
    troubles: dict[Trial, Trouble] = field(default_factory=dict)
