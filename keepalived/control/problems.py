"""The problems that the control socket reports, as RFC 9457 documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from keepalived.validation import Model

MEDIA_TYPE = "application/problem+json"


class ProblemType(Enum):
    """The kinds of problems: a stable label for programs, the HTTP status, and a title."""

    MALFORMED = ("malformed-request", 400, "The request does not have the form that is documented")
    FORBIDDEN = ("not-permitted", 403, "Not permitted")
    NO_SUCH_PATH = ("no-such-path", 404, "There is nothing at this path")
    NO_SUCH_SESSION = ("no-such-session", 404, "You hold no such session")
    NO_SUCH_HOLD = ("no-such-hold", 404, "There is no such hold")
    NO_SUCH_VCENTER = ("no-such-vcenter", 404, "There is no vCenter of this name")
    METHOD = ("method-not-allowed", 405, "This method does not exist here")
    SLOW = ("request-too-slow", 408, "The request took too long to arrive")
    AMBIGUOUS_VCENTER = ("ambiguous-vcenter", 409, "There is more than one vCenter")
    AMBIGUOUS_HOLD = ("ambiguous-hold", 409, "There is more than one hold")
    CONFIGURED_HOLD = ("configured-hold", 409, "The configuration holds this session")
    HELD_BY_OTHERS = ("held-by-others", 409, "Others hold this session")
    NOT_YOUR_PROCESS = ("process-not-usable", 409, "This process cannot own a hold of yours")
    SESSION_ENDED = ("session-ended", 409, "The session has ended")
    TOO_LARGE = ("request-too-large", 413, "The request is too large")
    CONTRADICTION = ("contradiction", 422, "The request contradicts itself or a limit")
    CONFIGURATION = ("configuration-refused", 422, "The new configuration was refused")
    TOO_MANY = ("too-many", 429, "You have too many of these")
    INTERNAL = ("internal-error", 500, "The daemon failed; this is a bug")
    UNAVAILABLE = ("unavailable", 503, "The daemon cannot do this now")
    FULL = ("full", 507, "There is no room for more")

    def __init__(self, label: str, status: int, title: str) -> None:
        self.label = label
        self.status = status
        self.title = title


class FieldError(Model):
    """A problem with one part of a request."""

    field: str
    """The part, such as `body.owner.pid`, `query.state` or `path.id`."""

    message: str
    """What is wrong with it."""


class ProblemDocument(Model):
    """What went wrong, and what to do (RFC 9457)."""

    omitted: ClassVar[tuple[object, ...]] = ((),)

    type: str
    """A URI that names the kind of problem."""

    title: str
    """The kind of problem, as a fixed text."""

    status: int
    """The HTTP status."""

    detail: str
    """What happened, and what to do."""

    instance: str
    """The path of the request."""

    errors: tuple[FieldError, ...] = ()
    """The problems with parts of the request."""

    candidates: tuple[str, ...] = ()
    """What the request could refer to."""


@dataclass(eq=False)
class ProblemError(Exception):
    """Makes the server respond to a request with a problem document."""

    problem: ProblemType
    detail: str
    errors: Sequence[FieldError] = ()
    candidates: Sequence[str] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def document(self, instance: str) -> ProblemDocument:
        """Return the document for the response."""
        return ProblemDocument(
            type=f"urn:clkeepalived:problem:{self.problem.label}",
            title=self.problem.title,
            status=self.problem.status,
            detail=self.detail,
            instance=instance,
            errors=tuple(self.errors),
            candidates=tuple(self.candidates),
        )
