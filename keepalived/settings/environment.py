"""Reads the settings of one vCenter from govc's environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keepalived.host import govc
from keepalived.host.files import read_file
from keepalived.settings.base import expanded
from keepalived.settings.files import LARGEST, why_unreadable
from keepalived.settings.models import Settings
from keepalived.settings.problems import ConfigError, Problem
from keepalived.settings.problems import Path as FieldPath
from keepalived.settings.values import Address, fingerprint, split_vcenter_url
from keepalived.settings.vcenters import VCenterSettings
from keepalived.validation import Invalid, Secret, validate

SOURCE = "environment"
"""The `file` of problems with environment variables."""

_HTTPS = 443
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"", "0", "false"})
_VARIABLES = {
    "url": "GOVC_URL",
    "username": "GOVC_USERNAME",
    "password_env": "GOVC_PASSWORD",
    "password": "GOVC_PASSWORD",
    "insecure": "GOVC_INSECURE",
    "ca_file": "GOVC_TLS_CA_CERTS",
    "more_ca_files": "GOVC_TLS_CA_CERTS",
    "known_fingerprints": "GOVC_TLS_KNOWN_HOSTS",
}


def settings_from_environment(environ: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """Return settings with the vCenter of GOVC_URL, named after its host, and warnings.

    Raises ConfigError.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    try:
        address = split_vcenter_url(environ["GOVC_URL"])
    except ValueError as error:
        raise ConfigError([_problem("GOVC_URL", str(error))]) from None
    raw: dict[str, Any] = {"url": address.url, **_credentials(address, environ, problems)}
    raw |= _trust(address, environ, problems, warnings)
    try:
        vcenter = validate(VCenterSettings, raw)
        settings = validate(Settings, {"vcenters": {address.host: vcenter}})
    except Invalid as error:
        problems += [problem_of(each.path, each.message) for each in error.problems]
    if problems:
        raise ConfigError(problems)
    return settings, warnings


def problem_of(path: FieldPath, message: str) -> Problem:
    """Return a problem with the setting at `path`, under the name of its variable."""
    named = (_VARIABLES[str(part)] for part in path if part in _VARIABLES)
    return _problem(next(named, "GOVC_URL"), message)


def _problem(variable: str, message: str) -> Problem:
    return Problem(SOURCE, None, variable, message)


def _credentials(
    address: Address, environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, object]:
    try:
        username = govc.variable(environ, "GOVC_USERNAME") or address.username
    except govc.GovcSessionError as error:
        problems.append(_problem("GOVC_USERNAME", str(error).removeprefix("GOVC_USERNAME ")))
        return {}
    if environ.get("GOVC_PASSWORD"):
        if username is None:
            problems.append(_problem("GOVC_USERNAME", "is not set, but GOVC_PASSWORD is"))
            return {}
        return {"username": username, "password_env": "GOVC_PASSWORD"}
    if username is None:
        return {}
    if not address.password:
        problems.append(
            _problem("GOVC_PASSWORD", f"is not set; set it to the password of {username}")
        )
        return {}
    return {"username": username, "password": Secret(address.password)}


def _trust(
    address: Address,
    environ: Mapping[str, str],
    problems: list[Problem],
    warnings: list[Problem],
) -> dict[str, object]:
    """Return the settings that decide which certificates are trusted.

    As in govc, `insecure` overrides the others, and a certificate from a trusted authority needs
    no thumbprint.
    """
    insecure = environ.get("GOVC_INSECURE", "").lower()
    if insecure in _TRUE:
        return {"insecure": True}
    if insecure not in _FALSE:
        message = "counts as false, as in govc; set it to 1 or true to accept any certificate"
        warnings.append(_problem("GOVC_INSECURE", message))
    trusted: dict[str, object] = {}
    if files := _paths("GOVC_TLS_CA_CERTS", environ, problems):
        trusted |= {"ca_file": files[0], "more_ca_files": tuple(files[1:])}
    if files := _paths("GOVC_TLS_KNOWN_HOSTS", environ, problems):
        trusted["known_fingerprints"] = _known_hosts(address, files, problems, warnings)
    return trusted


def _paths(variable: str, environ: Mapping[str, str], problems: list[Problem]) -> list[Path]:
    found = []
    for path in environ.get(variable, "").split(os.pathsep):
        try:
            found += [expanded(Path(path))] if path else []
        except ValueError as error:
            problems.append(_problem(variable, str(error)))
    return found


def _known_hosts(
    address: Address, paths: list[Path], problems: list[Problem], warnings: list[Problem]
) -> tuple[str, ...]:
    """Return the thumbprint of the host, from files of lines `HOST[:PORT] THUMBPRINT`.

    As in govc, the last line for a host counts, and a missing file counts as empty.
    """
    port = address.port or _HTTPS
    bare = f"[{address.host}]" if ":" in address.host else address.host
    names = {f"{bare}:{port}"} | ({bare, address.host} if port == _HTTPS else set())
    last: tuple[str, int, str] | None = None
    for path in paths:
        try:
            content, _ = read_file(path, most=LARGEST, pipes=True)
            lines = content.decode("utf-8-sig").splitlines()
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(_problem("GOVC_TLS_KNOWN_HOSTS", f"{path}: {why_unreadable(error)}"))
            continue
        except ValueError:
            problems.append(_problem("GOVC_TLS_KNOWN_HOSTS", f"{path}: this is not UTF-8 text"))
            continue
        for number, line in enumerate(lines, start=1):
            host, _, thumbprint = line.strip().partition(" ")
            if host.lower() in names and thumbprint:
                last = str(path), number, thumbprint
    if last is None:
        return ()
    file, number, thumbprint = last
    try:
        return (fingerprint(thumbprint),)
    except ValueError as error:
        warnings.append(Problem(file, number, bare, f"is ignored: it {error}"))
        return ()
