"""What `keepalived.hold` is given, checked before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keepalived.embedded.errors import InvalidArguments
from keepalived.lease.holds import Borrowed, check_token
from keepalived.lease.model import Kind, SessionKey, check_session_id
from keepalived.settings import Settings, VCenterSettings, advice
from keepalived.settings.base import expanded
from keepalived.settings.values import split_vcenter_url
from keepalived.validation import Invalid, Secret, validate


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks: an API token of the script's own, or a user who logs in."""

    token: str | None = None
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """How a vCenter is reached and trusted; the fields are those of its settings."""

    ca_file: str | os.PathLike[str] | None = None
    fingerprints: str | Sequence[str] = ()
    insecure: bool = False
    proxy: str | None = None
    dialect: str = "auto"
    session_timeout: float | str = 300.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The session to keep, and how. `token` is lent; `warnings` say what is risky."""

    key: SessionKey
    settings: VCenterSettings
    token: Borrowed | None
    warnings: tuple[str, ...] = ()


def check(
    url: str, session_id: str, kind: Kind | str, access: Access, connection: Connection
) -> Wanted:
    """Return what is wanted. Raises InvalidArguments with words for whoever wrote the call."""
    try:
        key = SessionKey(_host_of(url), _kind(kind), check_session_id(_text(session_id)))
        token = _token_of(access)
    except ValueError as error:
        raise InvalidArguments(str(error)) from None
    settings = _settings(url, access, connection)
    return Wanted(key, settings, token, _warnings(settings, is_lent=token is not None))


def _text(session_id: object) -> str:
    if not isinstance(session_id, str):
        raise ValueError(f"a session id is a text, not {type(session_id).__name__}")
    return session_id


def _kind(kind: object) -> Kind:
    if not isinstance(kind, str) or kind not in tuple(Kind):
        raise ValueError(f"kind: is update or download, not {kind!r}")
    return Kind(kind)


def _host_of(url: object) -> str:
    if not isinstance(url, str):
        raise ValueError(f"url: is a text, https://HOST, not {type(url).__name__}")
    try:
        address = split_vcenter_url(url)
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    if address.username is not None or address.password is not None:
        raise ValueError("url: take `user:password@` out, and give username= and password=")
    return address.host


def _token_of(access: Access) -> Borrowed | None:
    has_credentials = access.username is not None or access.password is not None
    if access.token is not None:
        if has_credentials:
            raise ValueError("give token=, or username= and password=, not both")
        if not isinstance(access.token, str):
            raise ValueError(f"token: is a text, not {type(access.token).__name__}")
        return Borrowed(check_token(access.token))
    if not has_credentials:
        raise ValueError("give token=, or username= and password=: vCenter asks who it is")
    for name, value in (("username", access.username), ("password", access.password)):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name}= is missing or empty, or no text; the two go together")
        if not value.isprintable():
            raise ValueError(f"{name}= holds what no {name} can, such as a line's end")
    return None


def _settings(url: str, access: Access, connection: Connection) -> VCenterSettings:
    fields = {
        "url": url,
        "username": access.username,
        "password": None if access.password is None else Secret(access.password),
        "ca_file": _absolute(connection.ca_file),
        "fingerprints": connection.fingerprints,
        "insecure": connection.insecure,
        "proxy": connection.proxy,
        "dialect": connection.dialect,
        "session_timeout": connection.session_timeout,
    }
    try:
        settings = validate(VCenterSettings, fields)
    except Invalid as error:
        raise InvalidArguments(str(error)) from None
    unusable = "; ".join(words for _, words in advice.unusable(_alone(settings), os.environ))
    if unusable:
        raise InvalidArguments(unusable)
    return settings


def _absolute(path: object) -> object:
    """Return a path as it is to be found later, too, wherever the script has gone by then."""
    if not isinstance(path, str | os.PathLike):
        return path
    try:
        return expanded(Path(path)).absolute()
    except (ValueError, TypeError) as error:
        raise InvalidArguments(f"ca_file: {error}") from None


def _warnings(settings: VCenterSettings, *, is_lent: bool) -> tuple[str, ...]:
    remarks = advice.risky(_alone(settings), os.environ)
    # That nobody logs in is as it should be where a token is lent.
    return tuple(words for place, words in remarks if not (is_lent and place[-1] == "username"))


def _alone(settings: VCenterSettings) -> Settings:
    return Settings(vcenters={"vcenter": settings})
