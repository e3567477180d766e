"""Where the password comes from. It is read anew whenever it is needed, and kept nowhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from keepalived.host import govc
from keepalived.settings import VCenterSettings

_NO_TEXT = "it is not UTF-8 text"


class SecretError(Exception):
    """The password cannot be had. The message names the place, never the content."""


async def read_password(settings: VCenterSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Return the password of a vCenter's user, as it is now. Raises SecretError."""
    place, password = await _find(settings, environ)
    if not password:
        # Not worth an attempt: too many of them lock the account.
        raise SecretError(f"{place}: it is empty")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise SecretError(f"{place}: {_NO_TEXT}") from None
    return password


async def _find(settings: VCenterSettings, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return where the password stands, and the password."""
    if settings.password is not None:
        return "the password in the URL", settings.password.get_secret_value()
    if settings.password_file is not None:
        return await asyncio.to_thread(_read, settings.password_file, "password_file")
    if settings.credential is not None:
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise SecretError(
                f"credential {settings.credential}: $CREDENTIALS_DIRECTORY is not set, as systemd "
                "does for a service with LoadCredential="
            )
        file = Path(folder) / settings.credential
        return await asyncio.to_thread(_read, file, "credential")
    if settings.password_env is not None:
        return await asyncio.to_thread(_variable, settings.password_env, environ)
    raise SecretError("no credentials are configured: set username and password_file")


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    place = f"the environment variable {name}"
    if name not in environ:
        raise SecretError(f"{place} is not set")
    if name != "GOVC_PASSWORD":
        return place, environ[name]
    try:
        return place, govc.variable(environ, name)
    except govc.GovcSessionError as error:
        raise SecretError(str(error)) from None


def _read(path: Path, field: str) -> tuple[str, str]:
    place = f"{field} {path}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SecretError(f"{place}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"{place}: {_NO_TEXT}") from None
    return place, text.rstrip("\r\n")
