"""Defines the columns of the tables; elsewhere they occur only in the migrations."""

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

_MAX_INTEGER = 2**63 - 1
"""The largest integer that a column can store."""

_COUNT = (0, _MAX_INTEGER)
_SPAN = (1.0, FARTHEST)
"""The range of lifetimes in seconds; the smallest is that of `session_timeout`."""

# Dictionaries, because calling an enumeration with a value is slow.
_KINDS = {kind.value: kind for kind in Kind}
_OWNER_KINDS = {kind.value: kind for kind in OwnerKind}
_ENDS = {state.value: state for state in State if state.is_final}


class HoldRow(NamedTuple):
    """A hold and its session."""

    key: SessionKey
    hold: Hold


class SessionRow(NamedTuple):
    """A session, and when it ended. Its holds are in separate rows."""

    session: Session
    ended_at: float | None = None


@lru_cache(maxsize=1024)
def _intern(value: T) -> T:
    """Return one shared object for all equal values, to save memory."""
    return value


def _key(row: tuple[str, str, str]) -> SessionKey:
    vcenter, kind, session_id = row
    if kind not in _KINDS:
        raise ValueError("kind is unknown to this release")
    return SessionKey(_intern(vcenter), _KINDS[kind], check_session_id(session_id))


_KEY = (Column("vcenter", str), Column("kind", str), Column("id", str))


def _values_of_key(key: SessionKey) -> tuple[Value, ...]:
    return key.vcenter, str(key.kind), key.id


# -- holds


@lru_cache(maxsize=1024)
def _owner(row: tuple[str, str]) -> Owner:
    kind, owner_id = row
    if kind not in _OWNER_KINDS:
        raise ValueError("owner_kind is unknown to this release")
    owner = Owner(_OWNER_KINDS[kind], owner_id)
    if owner.kind is OwnerKind.TIME_LIMIT and not 0 < float(owner_id) <= FARTHEST:
        raise ValueError("owner_id is not a number of seconds")
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
    """Return a server's text that can be stored, with lone surrogates as escapes.

    No text of a server may prevent an end from being stored.
    """
    return None if text is None else sayable(text)


def _storable(number: int | None) -> int | None:
    """Return a server's number, or None if a column cannot store it."""
    return number if number is not None and -_MAX_INTEGER <= number <= _MAX_INTEGER else None


def _values_of_content(row: SessionRow) -> tuple[Value, ...]:
    target, item = row.session.target, row.session.item
    item_id = version = name = item_version = library = None
    if target is not None:
        item_id, version = sayable(target.item_id), _text(target.content_version)
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
    state_name, reason, error_message, moved = made.pop("end")
    state, ending = State.PENDING if renewed_at is None else State.ACTIVE, None
    if state_name is not None or ended_at is not None:
        if state_name not in _ENDS or ended_at is None or reason is None:
            raise ValueError("state, reason and time of its end do not fit together")
        state = _ENDS[state_name]
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
        lambda row: _storable(row.session.acknowledged),
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
