"""Holds: who wants a session kept alive, and for how long."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from keepalived.lease.progress import UNKNOWN, Progress, highest

DEFAULT_MAX_LIFETIME = 7 * 86400.0
DEFAULT_MAX_LIFETIME_WITHOUT_OWNER = 86400.0
SEEN_PROGRESS_MOST = 99
"""The most that is derived from the bytes received, in percent: only the uploader reports 100."""
TOKEN_MAX_LENGTH = 4096

_TOKEN = re.compile(r"[!-~]+")


class OwnerKind(StrEnum):
    """What a hold lives and dies with."""

    FILE = "file"
    PROCESS = "process"
    CONNECTION = "connection"
    TIME_LIMIT = "ttl"
    COMMAND = "command"
    DISCOVERY = "discovery"
    """A session that nobody registered: held under the stall guard (`lease/stalls.py`)."""
    NONE = "none"


_OWNERLESS = frozenset({OwnerKind.NONE, OwnerKind.DISCOVERY})


@dataclass(frozen=True, slots=True)
class Owner:
    """What a hold lives and dies with; `id` tells owners of one kind apart."""

    kind: OwnerKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class LentToken:
    """An uploader's own API token, lent to us.

    Requests sent with it keep the uploader's API session alive, too. `refused` says that the
    vCenter answered 401 to it: it is not used any more. `proven` says that it has renewed this
    session: until then an answer to it concerns its lender alone.
    """

    value: str = field(repr=False)
    refused: bool = False
    proven: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Hold:
    """One party's wish that a session stay alive.

    A session has at most one hold per (uid, owner). `since` and `until` are seconds on the
    boot-time clock; a hold with `until` None lasts until it is let go.
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
    """Return when a hold ends at the latest, so that a forgotten one does not last for ever."""
    if max_lifetime is None:
        max_lifetime = (
            DEFAULT_MAX_LIFETIME_WITHOUT_OWNER if owner in _OWNERLESS else DEFAULT_MAX_LIFETIME
        )
    return since + max_lifetime


def is_guarded(holds: Holds) -> bool:
    """Whether a hold among these is under the stall guard."""
    return any(hold.owner.kind is OwnerKind.DISCOVERY for hold in holds)


def after_movement(holds: Holds, now: float) -> Holds:
    """Extend the holds under the stall guard to the longest time that any hold may last."""
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
    """Return `holds` with `hold` added, replacing the same party's earlier one."""
    for place, held in enumerate(holds):
        if held.is_by(hold.uid, hold.owner):
            return (*holds[:place], replace(hold, since=held.since), *holds[place + 1 :])
    return (*holds, hold)


def without_hold(holds: Holds, uid: int, owner: Owner) -> Holds:
    """Return `holds` without that party's hold."""
    return tuple(hold for hold in holds if not hold.is_by(uid, owner))


def unexpired(holds: Holds, now: float) -> Holds:
    """Return the holds whose time is not over."""
    return tuple(hold for hold in holds if hold.until is None or hold.until > now)


def client_progress(holds: Holds, transferred: int = 0) -> int | None:
    """Return the furthest progress that any party knows of, in percent.

    Where a party knows how much there is to transfer, the `transferred` bytes that the server has
    seen count as well.
    """
    furthest = None
    for hold in holds:
        furthest = highest(furthest, hold.progress.client_progress)
        if hold.progress.total and transferred:
            seen = min(SEEN_PROGRESS_MOST, 100 * transferred // hold.progress.total)
            furthest = highest(furthest, seen)
    return furthest


def tokens_in_use(holds: Holds, *, proven: bool | None = None) -> list[str]:
    """Return the borrowed tokens that still work: all, or by `proven`."""
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


def speaks_for_all(holds: Holds, token: str) -> bool:
    """Whether an answer to `token` may end the session for all who hold it."""
    lenders = [hold for hold in holds if hold.token is not None and hold.token.value == token]
    if any(hold.token is not None and hold.token.proven for hold in lenders):
        return True
    return bool(lenders) and len({hold.uid for hold in holds}) == 1


def refuse_token(holds: Holds, token: str) -> tuple[Holds, Holds]:
    """Mark `token` as refused in all holds; return all holds, and those that lend it."""
    dead = LentToken(token, refused=True)
    concerned = tuple(hold for hold in holds if hold.token == LentToken(token))
    marked = (replace(hold, token=dead) if hold in concerned else hold for hold in holds)
    return tuple(marked), concerned


def token_in(content: bytes) -> str:
    """Return the API token in a file's content. Raises ValueError as `check_token` does.

    A byte order mark before it is accepted, and so are the bodies that a login returns: the token
    in quotes (`/api`), or as the `value` of a JSON object (`/rest`).
    """
    text = content.decode("utf-8-sig", errors="replace").strip()
    if text[:1] in ('"', "{"):
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        token = answer.get("value") if isinstance(answer, dict) else answer
        if not isinstance(token, str):
            raise ValueError("an API token stands alone in its file, or as a login answered it")
        text = token
    return check_token(text.strip("'"))


def check_token(text: str) -> str:
    """Return an API token in the form for a header, with surrounding white space removed.

    Raises ValueError with a message that does not contain the token.
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
