"""Holds: the requests of clients to keep a session alive, and for how long."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from keepalived.lease.progress import UNKNOWN, Progress, highest

DEFAULT_MAX_LIFETIME = 7 * 86400.0
DEFAULT_MAX_LIFETIME_WITHOUT_OWNER = 86400.0
SEEN_PROGRESS_MOST = 99
"""The highest progress derived from received bytes, in percent: only uploaders report 100."""
TOKEN_MAX_LENGTH = 4096

_TOKEN = re.compile(r"[!-~]+")


class OwnerKind(StrEnum):
    """What a hold is bound to: it is released when its owner ends."""

    FILE = "file"
    PROCESS = "process"
    CONNECTION = "connection"
    TIME_LIMIT = "ttl"
    COMMAND = "command"
    DISCOVERY = "discovery"
    """A discovered session, held under the stall guard (see `lease.stalls`)."""
    NONE = "none"


_OWNERLESS = frozenset({OwnerKind.NONE, OwnerKind.DISCOVERY})


class Owner(NamedTuple):
    """The owner of a hold; `id` distinguishes owners of one kind."""

    kind: OwnerKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class LentToken:
    """An uploader's API token, lent for renewals.

    Requests sent with it also keep the uploader's API session alive. `refused` means that the
    vCenter answered 401 to it, and it is no longer used. `proven` means that it has renewed this
    session; until then an answer to it concerns only its lender.
    """

    value: str = field(repr=False)
    refused: bool = False
    proven: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Hold:
    """One holder's request that a session stay alive.

    A holder is a (uid, owner) pair, and has at most one hold on a session. `since` and `until` are
    seconds on the boot-time clock; a hold with `until` None lasts until it is released.
    """

    uid: int
    owner: Owner
    since: float
    until: float | None
    progress: Progress = UNKNOWN
    note: str = ""
    token: LentToken | None = None

    def is_by(self, uid: int, owner: Owner) -> bool:
        """Whether this is the hold of that user and owner."""
        return self.uid == uid and self.owner == owner


Holds = tuple[Hold, ...]


def latest_until(owner: OwnerKind, since: float, max_lifetime: float | None = None) -> float:
    """Return when a hold ends at the latest, so that a forgotten one does not last forever."""
    if max_lifetime is None:
        max_lifetime = (
            DEFAULT_MAX_LIFETIME_WITHOUT_OWNER if owner in _OWNERLESS else DEFAULT_MAX_LIFETIME
        )
    return since + max_lifetime


def is_guarded(holds: Holds) -> bool:
    """Whether a hold among these is under the stall guard."""
    return any(hold.owner.kind is OwnerKind.DISCOVERY for hold in holds)


def after_movement(holds: Holds, now: float) -> Holds:
    """Extend the holds under the stall guard after movement, up to the default maximum."""
    if not is_guarded(holds):
        return holds
    return tuple(
        replace(hold, until=min(hold.since + DEFAULT_MAX_LIFETIME, latest_until(kind, now)))
        if (kind := hold.owner.kind) is OwnerKind.DISCOVERY
        else hold
        for hold in holds
    )


def unguarded(holds: Holds) -> Holds:
    """Return the holds that are not under the stall guard."""
    return tuple(hold for hold in holds if hold.owner.kind is not OwnerKind.DISCOVERY)


def with_hold(holds: Holds, hold: Hold) -> Holds:
    """Return `holds` with `hold` added, replacing the same holder's earlier one."""
    for place, held in enumerate(holds):
        if held.is_by(hold.uid, hold.owner):
            return (*holds[:place], replace(hold, since=held.since), *holds[place + 1 :])
    return (*holds, hold)


def without_hold(holds: Holds, uid: int, owner: Owner) -> Holds:
    """Return `holds` without the hold of this user and owner."""
    return tuple(hold for hold in holds if not hold.is_by(uid, owner))


def unexpired(holds: Holds, now: float) -> Holds:
    """Return the holds whose time is not over."""
    return tuple(hold for hold in holds if hold.until is None or hold.until > now)


def client_progress(holds: Holds, transferred: int = 0) -> int | None:
    """Return the highest progress of all holds, in percent; None if it is unknown.

    If a hold includes the total size, the bytes that the server has received (`transferred`) also
    count.
    """
    furthest = None
    for hold in holds:
        furthest = highest(furthest, hold.progress.client_progress)
        if hold.progress.total and transferred:
            seen = min(SEEN_PROGRESS_MOST, 100 * transferred // hold.progress.total)
            furthest = highest(furthest, seen)
    return furthest


def tokens_in_use(holds: Holds, *, proven: bool | None = None) -> list[str]:
    """Return the lent tokens that are not refused, or those of them with this `proven`."""
    return [
        hold.token.value
        for hold in holds
        if hold.token and not hold.token.refused and proven in (None, hold.token.proven)
    ]


def prove_token(holds: Holds, token: str) -> Holds:
    """Mark `token` as one that has renewed the session."""
    if token not in tokens_in_use(holds, proven=False):
        return holds
    return tuple(
        replace(hold, token=replace(hold.token, proven=True))
        if hold.token is not None and hold.token.value == token
        else hold
        for hold in holds
    )


def is_conclusive_for(holds: Holds, token: str) -> bool:
    """Whether an answer to `token` may end the session for all holders."""
    lenders = [hold for hold in holds if hold.token is not None and hold.token.value == token]
    if any(hold.token is not None and hold.token.proven for hold in lenders):
        return True
    return bool(lenders) and len({hold.uid for hold in holds}) == 1


def refuse_token(holds: Holds, token: str) -> tuple[Holds, Holds]:
    """Mark `token` as refused; return all holds, and those that had lent it."""
    refused = LentToken(token, refused=True)
    concerned = tuple(hold for hold in holds if hold.token == LentToken(token))
    marked = (replace(hold, token=refused) if hold in concerned else hold for hold in holds)
    return tuple(marked), concerned


def token_in(content: bytes) -> str:
    """Return the API token in a file's content. Raises ValueError as `check_token` does.

    Also accepts a byte order mark, and the body of a login's answer: the token in quotes (`/api`)
    or as the `value` of a JSON object (`/rest`).
    """
    text = content.decode("utf-8-sig", errors="replace").strip()
    if text[:1] in ('"', "{"):
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        token = answer.get("value") if isinstance(answer, dict) else answer
        if not isinstance(token, str):
            raise ValueError(
                "the file must contain only an API token, or the body of a login's answer"
            )
        text = token
    return check_token(text.strip("'"))


def check_token(text: str) -> str:
    """Return an API token without surrounding white space, valid in a header.

    Raises ValueError; the message does not contain the token.
    """
    token = text.strip()
    if not token:
        raise ValueError("the API token is empty")
    if len(token) > TOKEN_MAX_LENGTH:
        raise ValueError(f"an API token has at most {TOKEN_MAX_LENGTH} characters")
    if not _TOKEN.fullmatch(token):
        raise ValueError(
            "an API token consists of printable ASCII characters without spaces: the value of "
            "vmware-api-session-id, and nothing else"
        )
    return token
