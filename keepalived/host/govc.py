"""Reads the API session that govc keeps in a file between commands (govmomi's session cache).

The file is `rest_sessions/HASH` in `$GOVMOMI_HOME` or `~/.govmomi`. The hash covers the server's
URL with the user but without the password, and whether certificate checks are off:
`https://administrator%40vsphere.local@vc.example.org/rest#insecure=false`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from keepalived.host.files import UnfitFileError, read_file
from keepalived.lease.holds import check_token

_SCHEME = re.compile(r"\w+")
_NOT_ESCAPED = "$&+,;="  # by Go's net/url in a user name, besides letters, digits and -_.~
_MAX_BYTES = 1024 * 1024
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class GovcSessionError(Exception):
    """A cached session exists, but must not or cannot be used.

    The message names the file or the variable, never the content.
    """


@dataclass(frozen=True, slots=True)
class CachedSession:
    """An API session of govc, and the file in which it was found."""

    path: Path
    token: str = field(repr=False)


def home_directory() -> Path | None:
    """Return the user's home; None if there is none, as for unnamed ids in containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def cached_session(environ: Mapping[str, str], home: Path | None) -> CachedSession | None:
    """Return the API session that govc would use next, or None if it would log in first.

    `environ` contains govc's variables. `home` contains `.govmomi`, unless a variable names another
    folder; without either there is no cache. Only the vCenter knows whether the session still
    exists. Raises GovcSessionError.
    """
    if not environ.get("GOVC_URL") or _is_set_to(environ, "GOVC_PERSIST_SESSION", ("0", "false")):
        return None
    key = _key(environ).encode()
    own = environ.get("GOVMOMI_HOME") or (home and home / ".govmomi")
    if own is None:
        return None
    folder = Path(own) / "rest_sessions"
    # SHA-256 since govc 0.48. After an upgrade, both files may exist: the later login counts.
    names = (hashlib.sha256(key).hexdigest(), hashlib.sha1(key, usedforsecurity=False).hexdigest())
    found = [each for name in names if (each := _read(folder / name)) is not None]
    if not found:
        return None
    _, path, content = max(found, key=lambda each: each[0])
    token = _token(path, content)
    return None if token is None else CachedSession(path, token)


def _key(environ: Mapping[str, str]) -> str:
    """Return the text that govmomi hashes."""
    url = environ["GOVC_URL"]
    scheme, mark, _ = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        url = f"https://{url}"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise GovcSessionError("GOVC_URL is not a URL") from None  # it may contain a password
    info, _, host = parts.netloc.rpartition("@")
    user = os.fsencode(variable(environ, "GOVC_USERNAME"))
    user = user or unquote_to_bytes(info.partition(":")[0])
    escaped = quote_from_bytes(user, safe=_NOT_ESCAPED)
    insecure = _is_set_to(environ, "GOVC_INSECURE", ("1", "true"))
    return f"{parts.scheme}://{escaped}@{host}/rest#insecure={str(insecure).lower()}"


def variable(environ: Mapping[str, str], name: str) -> str:
    """Return the value of GOVC_USERNAME or GOVC_PASSWORD, "" if it is not set.

    As in govc, if the value names a file, its content without surrounding white space is returned.
    Raises GovcSessionError for a file without read permission, a pipe or a device, and for content
    that is not UTF-8 text.
    """
    value = environ.get(name, "")
    try:
        content, _ = read_file(value, most=_MAX_BYTES)
    except PermissionError:
        raise GovcSessionError(f"{name} names a file without read permission") from None
    except UnfitFileError as error:
        if "\0" in value:
            return value
        # Each login reads it, but a pipe can be read only once.
        message = f"{name} names a file that cannot be read ({error.strerror})"
        raise GovcSessionError(message) from None
    except OSError:
        return value  # It does not name a file.
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise GovcSessionError(f"{name} names a file that is not UTF-8 text") from None


def _is_set_to(environ: Mapping[str, str], variable: str, values: tuple[str, ...]) -> bool:
    return environ.get(variable, "").lower() in values


def _read(path: Path) -> tuple[int, Path, bytes] | None:
    """Return when the file was written, in nanoseconds, its path, and its content."""
    try:
        # Do not block on other kinds of files.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GovcSessionError(f"{path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise GovcSessionError(f"{path}: not a regular file")
        if status.st_uid != os.geteuid():
            raise GovcSessionError(f"{path}: it belongs to user {status.st_uid}")
        if status.st_mode & _GROUP_AND_OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise GovcSessionError(
                f"{path}: its mode {mode:04o} gives others access; log out, and set it to 0600"
            )
        try:
            return status.st_mtime_ns, path, file.read(_MAX_BYTES)
        except OSError as error:
            raise GovcSessionError(f"{path}: {error.strerror}") from None


def _token(path: Path, content: bytes) -> str | None:
    """Return the token in a file, or None if it has none: govc would log in."""
    try:
        # govc overwrites the file in place, and may leave the end of the old content.
        saved, _ = json.JSONDecoder().raw_decode(content.decode())
        token = saved["SessionID"]
        return check_token(token) if token != "" else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise GovcSessionError(f"{path}: not a session file of govc") from None
