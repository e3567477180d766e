"""Reading what a vCenter answered. Everything here raises ValueError for what it cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from keepalived.lease.answers import FileInfo, ItemInfo, SessionInfo


def session_info(value: Any, headers: Mapping[str, str]) -> SessionInfo:
    """Read the answer to `get`; `/rest` leaves zero and absent fields out."""
    fields = _object(value)
    return SessionInfo(
        id=_text(fields, "id") or "",
        state=_required(fields, "state"),
        item_id=_text(fields, "library_item_id"),
        content_version=_text(fields, "library_item_content_version"),
        client_progress=_number(fields, "client_progress"),
        lifetime_left=_lifetime_left(fields, headers),
        error_message=message(fields.get("error_message")),
    )


def file_infos(value: Any) -> tuple[FileInfo, ...]:
    """Read the list of a session's files; some servers say null for no files."""
    return tuple(_file_info(_object(each)) for each in _list(value))


def ids(value: Any) -> tuple[str, ...]:
    """Read a list of ids."""
    return tuple(str(each) for each in _list(value))


def item_info(value: Any) -> tuple[ItemInfo, str | None]:
    """Read a library item, and the id of its library."""
    fields = _object(value)
    item = ItemInfo(
        id=_text(fields, "id") or "",
        name=_text(fields, "name") or "",
        content_version=_text(fields, "content_version") or "0",
    )
    return item, _text(fields, "library_id")


def name_of(value: Any) -> str | None:
    """Read the name of anything that has one."""
    return _text(_object(value), "name")


def message(value: Any) -> str | None:
    """Return a server's message for people, its arguments filled in by the server already."""
    if not isinstance(value, dict):
        return None
    text = value.get("default_message") or value.get("id")
    return str(text) if text else None


def token(value: Any) -> str:
    """Read the answer to a login."""
    if not isinstance(value, str) or not value:
        raise ValueError("the login was answered without a token")
    return value


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return what `Retry-After` asks for, in seconds from now, be it a number or a date."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    since = _http_date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - since).total_seconds())


def _lifetime_left(fields: dict[str, Any], headers: Mapping[str, str]) -> float | None:
    """`expiration_time` against the same server's `Date`: our own clock has no part in it."""
    expires, date = _text(fields, "expiration_time"), _http_date(headers.get("date", ""))
    if expires is None or date is None:
        return None
    try:
        moment = datetime.fromisoformat(expires)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - date).total_seconds()


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _file_info(fields: dict[str, Any]) -> FileInfo:
    return FileInfo(
        name=_text(fields, "name") or "",
        source_type=_text(fields, "source_type") or "NONE",
        status=_text(fields, "status") or "",
        bytes_transferred=_number(fields, "bytes_transferred") or 0,
        size=_number(fields, "size"),
        error_message=message(fields.get("error_message")),
    )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"an object was expected, not {type(value).__name__}")
    return value


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"a list was expected, not {type(value).__name__}")
    return value


def _required(fields: dict[str, Any], name: str) -> str:
    text = _text(fields, name)
    if text is None:
        raise ValueError(f"the answer has no {name}")
    return text


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else str(value)


def _number(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return int(value)
