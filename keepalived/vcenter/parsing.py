"""Parses the answers of a vCenter. All functions raise ValueError for invalid values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

from keepalived.host.slices import in_slices
from keepalived.lease import stalls
from keepalived.lease.answers import FileInfo, ItemInfo, SessionInfo
from keepalived.settings.problems import printable
from keepalived.vcenter.hiding import NO_SECRETS, Secrets

JSON_MOST = 64 * 1024
"""The most bytes decoded at once: more would delay renewals."""

IDS_MOST = 100_000
"""The most ids that are read from a list: as many sessions as one daemon can keep alive."""

FILES_MOST = 250
"""The most files of a session that are read separately; all others are merged into one."""

_IDS_PER_SLICE = 200
_FILES_PER_SLICE = 100
_TEXT_MOST = 1000
_NOTHING_MOST = 256
_NUMBER_MOST = 2**63 - 1  # the API's `long`


class FormError(ValueError):
    """The body is not a valid answer to the operation.

    It probably comes from a proxy in front of the vCenter, or from another server.
    """


def read_json(body: bytes, secrets: Secrets = NO_SECRETS) -> Any:
    """Read a body as JSON, with the secrets removed from its texts."""
    if len(body) > JSON_MOST:
        raise FormError(f"it is longer than {JSON_MOST // 1024} KiB")
    try:
        value = json.loads(body)
        return secrets.hide_in(value) if secrets.may_be_in(body) else value
    except (ValueError, RecursionError):
        raise FormError("it is not JSON") from None


def check_nothing(body: bytes) -> None:
    """Check the body of an operation that returns nothing.

    Depending on the dialect, that is no body, `null`, `{}`, or an object with an empty `value`.
    """
    text = body.strip()
    if not text:
        return
    if len(text) <= _NOTHING_MOST:
        value = read_json(text)
        if isinstance(value, dict) and value.keys() == {"value"}:
            value = value["value"]
        if value is None or value == {}:
            return
    raise FormError("no content was expected")


def check_user(value: Any) -> None:
    """Check the answer to the request for the logged-in user."""
    if not isinstance(_object(value).get("user"), str):
        raise FormError("the answer names no user")


def session_info(value: Any, headers: Mapping[str, str], now: float | None = None) -> SessionInfo:
    """Read the answer to `get`; `/rest` omits zero and absent fields.

    `now` is the time on this machine's clock, in seconds since the epoch.
    """
    fields = _object(value)
    state = fields.get("state")
    if not isinstance(state, str):
        raise FormError("the answer has no state")
    expiry = _moment(datetime.fromisoformat, _text(fields, "expiration_time") or "")
    date = _moment(parsedate_to_datetime, headers.get("date", ""))
    # Relative to the same server's `Date`, so that this machine's clock has no effect.
    left = None if expiry is None or date is None else (expiry - date).total_seconds()
    return SessionInfo(
        id=_text(fields, "id") or "",
        state=_displayable(state),
        item_id=_text(fields, "library_item_id"),
        content_version=_text(fields, "library_item_content_version"),
        client_progress=_number(fields, "client_progress"),
        lifetime_left=left,
        error_message=message(fields.get("error_message")),
        expires_at=None if expiry is None else expiry.timestamp(),
        clock_ahead=None if date is None or now is None else date.timestamp() - now,
    )


async def file_infos(elements: Iterable[Any]) -> tuple[FileInfo, ...]:
    """Read the list of a session's files; those beyond FILES_MOST are merged into the last one."""
    files: list[FileInfo] = []
    others: FileInfo | None = None
    count = 0
    async for each in in_slices(elements, _FILES_PER_SLICE):
        count += 1
        fields = _object(each)
        file = FileInfo(
            name=_text(fields, "name") or "",
            source_type=_text(fields, "source_type") or "NONE",
            status=_text(fields, "status") or "",
            bytes_transferred=_number(fields, "bytes_transferred") or 0,
            size=_number(fields, "size"),
            error_message=message(fields.get("error_message")),
        )
        if count <= FILES_MOST:
            files.append(file)
        else:
            others = file if others is None else stalls.merged(others, file)
    if others is not None:
        files.append(others._replace(name=f"{count - FILES_MOST} more files"))
    return tuple(files)


async def ids(elements: Iterable[Any]) -> tuple[str, ...]:
    """Read a list of ids, the first IDS_MOST of them."""
    found: list[str] = []
    async for each in in_slices(islice(elements, IDS_MOST), _IDS_PER_SLICE):
        try:
            found.append(_as_text(each, "an id"))
        except ValueError as error:
            raise FormError(str(error)) from None
    return tuple(found)


def item_info(value: Any) -> tuple[ItemInfo, str | None]:
    """Read a library item, and the id of its library."""
    fields = _object(value)
    item = ItemInfo(
        id=_text(fields, "id") or "",
        name=_text(fields, "name") or "",
        content_version=_text(fields, "content_version"),
    )
    if not item.id and not item.name:
        raise FormError("the answer has neither id nor name")
    return item, _text(fields, "library_id")


def text_of(value: Any, field: str) -> str | None:
    """Read a text field of any object, such as its name."""
    return _text(_object(value), field)


def new_id(value: Any) -> str:
    """Read the id of a created resource."""
    text = _as_text(value, "the id")
    if not text:
        raise ValueError("it was created, but the answer has no id")
    return text


def upload_uri(value: Any) -> str:
    """Read the URI to which the content of an added file is sent."""
    uri = _text(_object(_object(value).get("upload_endpoint")), "uri")
    if uri is None:
        raise ValueError("the file was added, but the answer has no upload address")
    return uri


def message(value: Any) -> str | None:
    """Return the text of a server's message, in which the server has inserted the arguments."""
    if isinstance(value, dict):
        for text in (value.get("default_message"), value.get("id")):
            if isinstance(text, str) and text:
                return _displayable(text)
    return None


def token(value: Any) -> str:
    """Read the answer to a login."""
    # Only such a value can be part of a header.
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value:
        raise FormError("the answer to the login has no token")
    return value


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the delay in `Retry-After`, in seconds from now, given as a number or a date.

    None if it is missing or invalid: the header is only advice, so it never causes an error.
    """
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        until = _moment(parsedate_to_datetime, text)
        if until is None:
            return None
        since = _moment(parsedate_to_datetime, headers.get("date", "")) or datetime.now(UTC)
        seconds = max(0.0, (until - since).total_seconds())
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _moment(parse: Callable[[str], datetime], text: str) -> datetime | None:
    """Return a time, in UTC unless the text says otherwise; None if it is invalid."""
    try:
        moment = parse(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FormError(f"an object was expected, not {type(value).__name__}")
    return value


def list_of(value: Any) -> list[Any]:
    """Return a list; some servers send null for an empty one. Raises FormError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormError(f"a list was expected, not {type(value).__name__}")
    return value


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return None if value is None else _as_text(value, name)


def _as_text(value: Any, name: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} is not a text")
    return _displayable(str(value))


def _displayable(text: str) -> str:
    """Return a server's text, safe for logs and terminals, and not too long."""
    return printable(text[:_TEXT_MOST])


def _number(fields: dict[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    # `/rest` sometimes sends long numbers as texts.
    is_number = type(value) is int or (isinstance(value, str) and value.isdecimal())
    if not is_number or len(str(value)) > 19 or not 0 <= (number := int(value)) <= _NUMBER_MOST:
        raise ValueError(f"{name} is not a valid number")
    return number
