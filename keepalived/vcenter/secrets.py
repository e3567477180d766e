"""Reads the password. It is read again whenever it is needed, and never kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from keepalived.host import blocking, govc
from keepalived.host.files import read_file
from keepalived.settings import VCenterSettings

_SECONDS = 10.0
"""The most seconds that reading a password file may take: a login waits for it."""

_LARGEST = 1 << 16
_NO_TEXT = "it is not UTF-8 text"


class SecretError(Exception):
    """The password cannot be read. The message names its place, never its content."""


async def read_password(settings: VCenterSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Return the current password of a vCenter's user. Raises SecretError."""
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
    """Return the place of the password, and the password."""
    if settings.password is not None:
        return "the password in the URL", settings.password.reveal()
    if settings.password_file is not None:
        return await _read(settings.password_file, "password_file")
    if settings.credential is not None:
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise SecretError(
                f"credential {settings.credential}: $CREDENTIALS_DIRECTORY is not set, as systemd "
                "does for a service with LoadCredential="
            )
        return await _read(Path(folder) / settings.credential, "credential")
    if settings.password_env is not None:
        return await _variable(settings.password_env, environ)
    raise SecretError("no credentials are configured: set username and password_file")


async def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    place = f"the environment variable {name}"
    if name not in environ:
        raise SecretError(f"{place} is not set")
    if name != "GOVC_PASSWORD":
        return place, environ[name]
    try:
        work = partial(govc.variable, environ, name)
        return place, await blocking.call(("secret", name), work, seconds=_SECONDS)
    except TimeoutError:
        raise SecretError(f"{name}: it could not be read in {_SECONDS:g} s") from None
    except govc.GovcSessionError as error:
        raise SecretError(str(error)) from None


async def _read(path: Path, field: str) -> tuple[str, str]:
    place = f"{field} {path}"
    try:
        work = partial(read_file, path, most=_LARGEST, pipes=True)
        content, _ = await blocking.call(("secret", path), work, seconds=_SECONDS)
        text = content.decode("utf-8-sig")
    except TimeoutError:
        raise SecretError(f"{place}: it could not be read in {_SECONDS:g} s") from None
    except OSError as error:
        raise SecretError(f"{place}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"{place}: {_NO_TEXT}") from None
    return place, text.rstrip("\r\n")
