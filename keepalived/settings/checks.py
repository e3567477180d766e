"""Checks of valid settings: files and variables that cannot be used, and risky choices."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from keepalived.host.files import read_file
from keepalived.lease.timing import attempts_that_fit
from keepalived.settings.durations import format_duration
from keepalived.settings.files import LARGEST, why_unreadable
from keepalived.settings.models import Settings
from keepalived.settings.problems import Path as FieldPath
from keepalived.settings.sessions import SessionEntry
from keepalived.settings.values import is_loopback, split_vcenter_url
from keepalived.settings.vcenters import VCenterSettings

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
"""The environment variable with the folder of a systemd service's credentials."""

_STALE_FILE = (
    "was removed or replaced outside, but the old file is still mounted here: mount its folder "
    "instead of the file"
)
_MIN_ATTEMPTS = 3
_MIN_LIFETIMES = 2
Remark = tuple[FieldPath, str]


def unusable(settings: Settings, environ: Mapping[str, str]) -> Iterator[Remark]:
    """Report files and variables in the settings that are missing or cannot be read."""
    for name, vcenter in settings.vcenters.items():
        for key, path, marker in _files(vcenter):
            reason = _why_unusable(path, marker)
            if reason:
                yield ("vcenters", name, key), f"{path}: {reason}"
        variable = vcenter.password_env
        if variable is not None and not environ.get(variable):
            message = f"the environment variable {variable} is not set or empty"
            yield ("vcenters", name, "password_env"), message
        folder = environ.get(CREDENTIALS_DIRECTORY)
        if vcenter.credential is not None and folder is not None:
            reason = _why_unusable(Path(folder, vcenter.credential))
            if reason:
                message = f"no such systemd credential ({reason}); see LoadCredential="
                yield ("vcenters", name, "credential"), message


def risky(settings: Settings, environ: Mapping[str, str]) -> Iterator[Remark]:
    """Warn of settings that work, but may not be intended."""
    for name, vcenter in settings.vcenters.items():
        vcenter_path = ("vcenters", name)
        for key, message in _risks(vcenter, environ):
            yield (*vcenter_path, key), message
    yield from _short_stall_timeout(settings)
    for number, entry in enumerate(settings.sessions):
        for key, message in risky_entry(entry):
            yield ("sessions", number, key), message


def stale(path: Path) -> str:
    """Return a warning if a file was replaced outside its mount; otherwise an empty text.

    A file that is mounted by itself stays the old one when another file replaces it outside.
    """
    try:
        return _STALE_FILE if path.stat().st_nlink == 0 else ""
    except (OSError, ValueError):
        return ""


def risky_entry(entry: SessionEntry) -> Iterator[tuple[str, str]]:
    """Warn of fields of an entry that may not be intended: field and message."""
    path = entry.token_file
    if path is None:
        return
    if message := stale(path):
        yield "token_file", f"{path} {message}"
    reason = _why_unusable(path)
    if reason:
        yield "token_file", f"{path}: {reason}; until then the vCenter's own credentials are used"
    elif _is_open_to_all(path):
        yield "token_file", f"{path} can be read by every user; chmod 600 (or 640) it"


def _short_stall_timeout(settings: Settings) -> Iterator[Remark]:
    """Warn if a pause of an upload would end the hold on a discovered session."""
    lifetimes = [
        vcenter.session_timeout for vcenter in settings.vcenters.values() if vcenter.discover
    ]
    if lifetimes and settings.stall_timeout < _MIN_LIFETIMES * max(lifetimes):
        yield (
            ("stall_timeout",),
            f"{format_duration(settings.stall_timeout)} is short for sessions that live for "
            f"{format_duration(max(lifetimes))}: a paused upload looks abandoned; the default is "
            "2h",
        )


def _risks(vcenter: VCenterSettings, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    address = split_vcenter_url(vcenter.url)
    if address.scheme == "http" and not is_loopback(address.host):
        yield "url", "http:// sends the password and the token in clear; use https://"
    if vcenter.insecure:
        yield "insecure", "any server that answers gets the password; use `fingerprints` instead"
    if vcenter.username is None:
        message = (
            "is missing: without a login, vCenter refuses every request; each session needs its "
            "own API token (`token_file`, or lent over the socket)"
        )
        yield "username", message
        if vcenter.discover:
            yield "discover", "finds nothing without `username`: sessions are listed per account"
    for key, path, _ in _files(vcenter):
        if message := stale(path):
            yield key, f"{path} {message}"
    if vcenter.password_file is not None and _is_open_to_all(vcenter.password_file):
        message = f"{vcenter.password_file} can be read by every user; chmod 600 (or 640) it"
        yield "password_file", message
    if vcenter.credential is not None and CREDENTIALS_DIRECTORY not in environ:
        yield "credential", "cannot be checked here: only a systemd service has credentials"
    timeout = vcenter.request_timeout
    if timeout is not None:
        fit = attempts_that_fit(vcenter.session_timeout, timeout)
        if fit < _MIN_ATTEMPTS:
            yield (
                "request_timeout",
                f"{format_duration(timeout)} leaves time for only {fit} attempts before a session "
                f"expires after {format_duration(vcenter.session_timeout)}; use `auto`",
            )


def _files(vcenter: VCenterSettings) -> Iterator[tuple[str, Path, bytes]]:
    """Return the files that the settings name: field, path, and a text that they must contain."""
    if vcenter.password_file is not None:
        yield "password_file", vcenter.password_file, b""
    for path in vcenter.ca_files:
        yield "ca_file", path, b"-----BEGIN "


def _why_unusable(path: Path, marker: bytes = b"") -> str:
    try:
        # Reading a pipe or a device could wait for ever, or consume its content.
        is_pipe = path.exists() and not path.is_file() and not path.is_dir()
        if is_pipe and not marker:
            return ""
        content, _ = read_file(path, most=LARGEST)
    except OSError as error:
        return why_unreadable(error)
    if not content.strip():
        return "the file is empty"
    return "" if marker in content else "it contains no PEM certificate"


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
