"""Warnings about valid settings: files that cannot be used, and risks."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from keepalived.host.files import read_file
from keepalived.lease.timing import attempts_that_fit
from keepalived.settings.durations import format_duration
from keepalived.settings.files import LARGEST, why_unreadable
from keepalived.settings.models import Settings
from keepalived.settings.problems import Path as Place
from keepalived.settings.sessions import SessionEntry
from keepalived.settings.values import is_loopback, split_vcenter_url
from keepalived.settings.vcenters import VCenterSettings

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
"""The variable by which systemd tells a service where its credentials are."""

_STALE = (
    "was removed or replaced outside, and what is read here is the old one: mount its folder, not "
    "the file alone"
)
_FEWEST_ATTEMPTS = 3
_FEWEST_LIFETIMES = 2
Remark = tuple[Place, str]


def unusable(settings: Settings, environ: Mapping[str, str]) -> Iterator[Remark]:
    """Warn of files and variables in the settings that do not exist or cannot be read."""
    for name, vcenter in settings.vcenters.items():
        for key, path, mark in _files(vcenter):
            trouble = _why_unusable(path, mark)
            if trouble:
                yield ("vcenters", name, key), f"{path}: {trouble}"
        variable = vcenter.password_env
        if variable is not None and not environ.get(variable):
            words = f"the environment variable {variable} is not set, or empty"
            yield ("vcenters", name, "password_env"), words
        folder = environ.get(CREDENTIALS_DIRECTORY)
        if vcenter.credential is not None and folder is not None:
            trouble = _why_unusable(Path(folder, vcenter.credential))
            if trouble:
                words = f"no such systemd credential ({trouble}); see LoadCredential="
                yield ("vcenters", name, "credential"), words


def risky(settings: Settings, environ: Mapping[str, str]) -> Iterator[Remark]:
    """Warn of settings that work, but may not be intended."""
    for name, vcenter in settings.vcenters.items():
        place = ("vcenters", name)
        for key, words in _risks(vcenter, environ):
            yield (*place, key), words
    yield from _impatience(settings)
    for number, entry in enumerate(settings.sessions):
        for key, words in risky_entry(entry):
            yield ("sessions", number, key), words


def stale(path: Path) -> str:
    """Return a warning if a file was replaced where we cannot see it; nothing otherwise.

    A file that is mounted alone stays the one that it was when the mount was made, whatever takes
    its place outside.
    """
    try:
        return _STALE if path.stat().st_nlink == 0 else ""
    except (OSError, ValueError):
        return ""


def risky_entry(entry: SessionEntry) -> Iterator[tuple[str, str]]:
    """Warn of parts of a session's line that may not be intended: key, and message."""
    path = entry.token_file
    if path is None:
        return
    if words := stale(path):
        yield "token_file", f"{path} {words}"
    trouble = _why_unusable(path)
    if trouble:
        yield "token_file", f"{path}: {trouble}; the vCenter's own credentials are used meanwhile"
    elif _is_open_to_all(path):
        yield "token_file", f"{path} can be read by every user; chmod 600 (or 640) it"


def _impatience(settings: Settings) -> Iterator[Remark]:
    """Say where a session that was discovered is let go before its uploader can have noticed."""
    lifetimes = [
        vcenter.session_timeout for vcenter in settings.vcenters.values() if vcenter.discover
    ]
    if lifetimes and settings.stall_timeout < _FEWEST_LIFETIMES * max(lifetimes):
        yield (
            ("stall_timeout",),
            f"{format_duration(settings.stall_timeout)} is little beside sessions that live for "
            f"{format_duration(max(lifetimes))}: a pause of an upload looks abandoned; the usual "
            "is 2h",
        )


def _risks(vcenter: VCenterSettings, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    address = split_vcenter_url(vcenter.url)
    if address.scheme == "http" and not is_loopback(address.host):
        yield "url", "http:// sends the password and the token in clear; use https://"
    if vcenter.insecure:
        yield "insecure", "whoever answers is trusted with the password; prefer `fingerprints`"
    if vcenter.username is None:
        words = (
            "is missing: nothing logs in here, and vCenter refuses what nobody asks; every "
            "session needs an API token of its own (`token_file`, or lent over the socket)"
        )
        yield "username", words
        if vcenter.discover:
            yield "discover", "finds nothing without `username`: sessions are listed per account"
    for key, path, _ in _files(vcenter):
        if words := stale(path):
            yield key, f"{path} {words}"
    if vcenter.password_file is not None and _is_open_to_all(vcenter.password_file):
        words = f"{vcenter.password_file} can be read by every user; chmod 600 (or 640) it"
        yield "password_file", words
    if vcenter.credential is not None and CREDENTIALS_DIRECTORY not in environ:
        yield "credential", "cannot be looked at here: only a service of systemd has credentials"
    timeout = vcenter.request_timeout
    if timeout is not None:
        fit = attempts_that_fit(vcenter.session_timeout, timeout)
        if fit < _FEWEST_ATTEMPTS:
            yield (
                "request_timeout",
                f"with {format_duration(timeout)}, only {fit} attempts that time out fit before a "
                f"session expires after {format_duration(vcenter.session_timeout)}; use `auto`",
            )


def _files(vcenter: VCenterSettings) -> Iterator[tuple[str, Path, bytes]]:
    """Return the files that are named: key, path, and what must occur in them."""
    if vcenter.password_file is not None:
        yield "password_file", vcenter.password_file, b""
    for path in vcenter.ca_files:
        yield "ca_file", path, b"-----BEGIN "


def _why_unusable(path: Path, mark: bytes = b"") -> str:
    try:
        # A pipe or a device is not read here: that may wait for ever, or use it up.
        is_pipe = path.exists() and not path.is_file() and not path.is_dir()
        if is_pipe and not mark:
            return ""
        content, _ = read_file(path, most=LARGEST)
    except OSError as error:
        return why_unreadable(error)
    if not content.strip():
        return "the file is empty"
    return "" if mark in content else "there is no certificate in PEM form in it"


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
