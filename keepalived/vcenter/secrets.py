"""Reads the password of a vCenter's user for each login, and never stores it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from keepalived.host import blocking, govc
from keepalived.host.files import read_file
from keepalived.settings import VCenterSettings

_SECONDS = 10.0
"""How long reading a password file may take; a login waits for it."""

_MAX_BYTES = 1 << 16
_NO_TEXT = "it is not UTF-8 text"


class SecretError(Exception):
    """The password cannot be read. The message names its source, never its content."""


async def read_password(settings: VCenterSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Return the current password of a vCenter's user. Raises SecretError."""
    source, password = await _find(settings, environ)
    if not password:
        # Not tried, because too many failed logins lock the account.
        raise SecretError(f"{source} is empty")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise SecretError(f"{source}: {_NO_TEXT}") from None
    return password


async def _find(settings: VCenterSettings, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of the password's source, and the password."""
    if settings.password is not None:
        return "the password in the URL", settings.password.reveal()
    if settings.password_file is not None:
        return await _read(settings.password_file, "password_file")
    if settings.credential is not None:
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise SecretError(
                f"credential {settings.credential}: $CREDENTIALS_DIRECTORY is not set, as systemd "
                "does for services with LoadCredential="
            )
        return await _read(Path(folder) / settings.credential, "credential")
    if settings.password_env is not None:
        return await _variable(settings.password_env, environ)
    raise SecretError("no credentials are configured: set username and password_file")


async def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    source = f"the environment variable {name}"
    if name not in environ:
        raise SecretError(f"{source} is not set")
    if name != "GOVC_PASSWORD":
        return source, environ[name]
    try:
        work = partial(govc.variable, environ, name)
        return source, await blocking.call(("secret", name), work, seconds=_SECONDS)
    except TimeoutError:
        raise SecretError(f"{name}: it could not be read in {_SECONDS:g} s") from None
    except govc.GovcSessionError as error:
        raise SecretError(str(error)) from None


async def _read(path: Path, field: str) -> tuple[str, str]:
    source = f"{field} {path}"
    try:
        work = partial(read_file, path, most=_MAX_BYTES, pipes=True)
        content, _ = await blocking.call(("secret", path), work, seconds=_SECONDS)
        text = content.decode("utf-8-sig")
    except TimeoutError:
        raise SecretError(f"{source}: it could not be read in {_SECONDS:g} s") from None
    except OSError as error:
        raise SecretError(f"{source}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"{source}: {_NO_TEXT}") from None
    return source, text.rstrip("\r\n")
