"""The tables and all their columns, which occur elsewhere only in the migrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from keepalived.lease.answers import ItemInfo
from keepalived.lease.endings import Ending, Target
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind, check_token
from keepalived.lease.model import Kind, SessionKey, State, check_session_id
from keepalived.lease.progress import UNKNOWN, Progress
from keepalived.lease.session import Session
from keepalived.lease.text import sayable
from keepalived.store.mapper import (
    BOOT_ID,
    FARTHEST,
    Column,
    RecordField,
    Table,
    Value,
    field,
    optional,
    time_field,
)

T = TypeVar("T")

_MOST = 2**63 - 1
"""The greatest integer that a column accepts."""

_COUNT = (0, _MOST)
_SPAN = (1.0, FARTHEST)
"""In seconds: no shorter `session_timeout` is accepted, and nothing is renewed more often."""

# A dictionary finds a member much faster than the enumeration does.
_KINDS = {kind.value: kind for kind in Kind}
_OWNER_KINDS = {kind.value: kind for kind in OwnerKind}
_ENDS = {state.value: state for state in State if state.is_final}


class HoldRow(NamedTuple):
    """A hold, and the session that it is on."""

    key: SessionKey
    hold: Hold


class SessionRow(NamedTuple):
    """A session, and when it ended if it has. Its holds have rows of their own."""

    session: Session
    ended_at: float | None = None


@lru_cache(maxsize=1024)
def _intern(value: T) -> T:
    """Return one shared object for all equal values: each row creates objects of its own."""
    return value


def _key(row: tuple[str, str, str]) -> SessionKey:
    vcenter, kind, session_id = row
    if kind not in _KINDS:
        raise ValueError("kind is none that this release knows")
    return SessionKey(_intern(vcenter), _KINDS[kind], check_session_id(session_id))


_KEY = (Column("vcenter", str), Column("kind", str), Column("id", str))


def _values_of_key(key: SessionKey) -> tuple[Value, ...]:
    return key.vcenter, str(key.kind), key.id


# -- holds


@lru_cache(maxsize=1024)
def _owner(row: tuple[str, str]) -> Owner:
    kind, owner_id = row
    if kind not in _OWNER_KINDS:
        raise ValueError("owner_kind is none that this release knows")
    owner = Owner(_OWNER_KINDS[kind], owner_id)
    if owner.kind is OwnerKind.TIME_LIMIT and not 0 < float(owner_id) <= FARTHEST:
        raise ValueError("owner_id is no number of seconds")
    return owner


def _progress(values: tuple[int | None, int | None, int | None]) -> Progress:
    return UNKNOWN if values == (None, None, None) else Progress(*values)


def _token(text: str | None) -> LentToken | None:
    return None if text is None else LentToken(check_token(text), proven=True)


HOLD: Table[HoldRow] = Table(
    "hold",
    lambda made: HoldRow(made.pop("key"), Hold(**made)),
    RecordField("key", _KEY, lambda row: _values_of_key(row.key), _key),
    field("uid", int, lambda row: row.hold.uid, range=(0, 2**32 - 1)),
    RecordField(
        "owner",
        (Column("owner_kind", str), Column("owner_id", str)),
        lambda row: (str(row.hold.owner.kind), row.hold.owner.id),
        _owner,
    ),
    BOOT_ID,
    time_field("since", "since", lambda row: row.hold.since),
    time_field("until", "until", lambda row: row.hold.until, optional=True),
    RecordField(
        "progress",
        (Column("percent", int, True, (0, 100)), *optional(int, "done", "total", range=_COUNT)),
        lambda row: ((of := row.hold.progress).percent, of.done, of.total),
        _progress,
    ),
    field("note", str, lambda row: row.hold.note),
    RecordField(
        "token", optional(str, "token"), lambda row: row.hold.token and row.hold.token.value, _token
    ),
)


# -- sessions


def _text(text: str | None) -> str | None:
    """Return a server's text, with what UTF-8 cannot encode (lone surrogates) as escapes.

    It is for people to read, and must never prevent an end from being written.
    """
    return None if text is None else sayable(text)


def _fitting(number: int | None) -> int | None:
    """Return a server's number, or None if it does not fit a column."""
    return number if number is not None and -_MOST <= number <= _MOST else None


def _values_of_content(row: SessionRow) -> tuple[Value, ...]:
    target, item = row.session.target, row.session.item
    item_id = version = name = item_version = library = None
    if target is not None:
        item_id, version = sayable(target.item_id), sayable(target.content_version)
    if item is not None:
        name, item_version, library = sayable(item.name), item.content_version, item.library
    return item_id, version, name, _text(item_version), _text(library)


def _content(row: tuple[str | None, ...]) -> tuple[Target | None, ItemInfo | None]:
    item_id, version, name, item_version, library = row
    target = None if item_id is None or version is None else Target(item_id, version)
    return target, None if name is None else ItemInfo(item_id or "", name, item_version, library)


def _values_of_end(row: SessionRow) -> tuple[Value, ...]:
    ending = row.session.ending
    if row.ended_at is None or ending is None:
        return None, None, None, None
    message = _text(ending.error_message)
    return str(ending.state), sayable(ending.reason), message, ending.content_moved


def _session(made: dict[str, Any]) -> SessionRow:
    key, renewed_at, ended_at = made["key"], made["renewed_at"], made.pop("ended_at")
    held: Mapping[SessionKey, Sequence[Hold]] = made.pop("held")
    target, item = made.pop("content")
    word, reason, error_message, moved = made.pop("end")
    state, ending = State.PENDING if renewed_at is None else State.ACTIVE, None
    if word is not None or ended_at is not None:
        if word not in _ENDS or ended_at is None or reason is None:
            raise ValueError("state, reason and time of its end are none that fit together")
        state = _ENDS[word]
        ending = Ending(state, reason, error_message, None if moved is None else bool(moved))
    holds = tuple(held.get(key, ()))
    session = Session(
        due=0.0, holds=holds, state=state, target=target, item=item, ending=ending, **made
    )
    return SessionRow(session, ended_at)


SESSION: Table[SessionRow] = Table(
    "session",
    _session,
    RecordField("key", _KEY, lambda row: _values_of_key(row.session.key), _key),
    BOOT_ID,
    time_field("since", "since", lambda row: row.session.since),
    time_field("renewed_at", "renewed", lambda row: row.session.renewed_at, optional=True),
    field(
        "configured_lifetime",
        float,
        lambda row: row.session.configured_lifetime,
        _intern,
        range=_SPAN,
    ),
    field("lifetime", float, lambda row: row.session.lifetime, _intern, range=_SPAN),
    field("renewals", int, lambda row: row.session.renewals, range=_COUNT),
    RecordField(
        "acknowledged",
        optional(int, "acknowledged"),
        lambda row: _fitting(row.session.acknowledged),
    ),
    RecordField(
        "content",
        optional(str, "item_id", "content_version", "item_name", "item_version", "library"),
        _values_of_content,
        _content,
    ),
    time_field("ended_at", "ended", lambda row: row.ended_at, optional=True),
    RecordField(
        "end",
        (*optional(str, "state", "reason", "error_message"), *optional(int, "content_moved")),
        _values_of_end,
    ),
    time_field("moved_at", "moved", lambda row: row.session.moved_at, optional=True),
)
