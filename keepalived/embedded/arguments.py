"""Check the arguments of `keepalived.hold` before anything is sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepalived.embedded.errors import InvalidArguments
from keepalived.lease.holds import LentToken, check_token
from keepalived.lease.model import Kind, SessionKey, check_session_id
from keepalived.settings import Settings, VCenterSettings, checks
from keepalived.settings.base import expanded
from keepalived.settings.values import split_vcenter_url
from keepalived.validation import Invalid, Secret, validate


@dataclass(frozen=True, slots=True)
class HoldArguments:
    """The session to keep, and how. `token` is lent; `warnings` describe risky settings."""

    key: SessionKey
    settings: VCenterSettings
    token: LentToken | None
    warnings: tuple[str, ...] = ()


def check(
    url: str, session_id: str, kind: Kind | str, *, token: str | None = None, **fields: Any
) -> HoldArguments:
    """Return the checked arguments; `fields` are those of a vCenter's settings.

    Raises InvalidArguments with a message for the author of the call.
    """
    try:
        host = _host_of(url)
        if kind not in tuple(Kind):
            raise ValueError(f"kind: must be update or download, not {kind!r}")
        if not isinstance(session_id, str):
            raise ValueError(f"session_id: must be a str, not {type(session_id).__name__}")
        key = SessionKey(host, Kind(kind), check_session_id(session_id))
        lent = _lent(token, fields.get("username"), fields.get("password"))
    except ValueError as error:
        raise InvalidArguments(str(error)) from None
    settings = _settings({"url": url, **fields})
    alone = Settings(vcenters={"vcenter": settings})
    unusable = "; ".join(message for _, message in checks.unusable(alone, os.environ))
    if unusable:
        raise InvalidArguments(unusable)
    risky = checks.risky(alone, os.environ)
    # With a lent token, no login is expected.
    warnings = (text for place, text in risky if lent is None or place[-1] != "username")
    return HoldArguments(key, settings, lent, tuple(warnings))


def _host_of(url: object) -> str:
    if not isinstance(url, str):
        raise ValueError(f"url: must be a str such as https://HOST, not {type(url).__name__}")
    try:
        address = split_vcenter_url(url)
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    if address.username is not None or address.password is not None:
        raise ValueError("url: must not contain `user:password@`; pass username= and password=")
    return address.host


def _lent(token: object, username: object, password: object) -> LentToken | None:
    has_credentials = username is not None or password is not None
    if token is not None:
        if has_credentials:
            raise ValueError("pass either token=, or username= and password=, not both")
        if not isinstance(token, str):
            raise ValueError(f"token: must be a str, not {type(token).__name__}")
        return LentToken(check_token(token))
    if not has_credentials:
        raise ValueError("pass token=, or username= and password=")
    for name, value in (("username", username), ("password", password)):
        if not isinstance(value, str) or not value:
            raise ValueError(
                f"{name}= must be a str that is not empty; pass both username= and password="
            )
        if not value.isprintable():
            raise ValueError(f"{name}= contains an unprintable character, such as a line break")
    return None


def _settings(fields: dict[str, Any]) -> VCenterSettings:
    if fields.get("password") is not None:
        fields["password"] = Secret(fields["password"])
    path = fields.get("ca_file")
    if isinstance(path, str | os.PathLike):
        try:  # absolute, so that it is found after the script changes its directory
            fields["ca_file"] = expanded(Path(path)).absolute()
        except (ValueError, TypeError) as error:
            raise InvalidArguments(f"ca_file: {error}") from None
    try:
        return validate(VCenterSettings, fields)
    except Invalid as error:
        raise InvalidArguments(str(error)) from None
