"""The one vCenter that govc's environment describes, for those who have it set anyway."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from keepalived.settings.files import why_unreadable
from keepalived.settings.models import Settings
from keepalived.settings.problems import ConfigError, Problem
from keepalived.settings.problems import Path as Place
from keepalived.settings.values import Address, fingerprint, split_vcenter_url
from keepalived.settings.vcenters import VCenterSettings
from keepalived.settings.wording import words_for

_SOURCE = "environment"
_HTTPS = 443
# What Go's strconv.ParseBool takes, with which govc reads GOVC_INSECURE.
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_FALSE = frozenset({"", "0", "f", "F", "false", "False", "FALSE"})
_VARIABLES = {
    "url": "GOVC_URL",
    "username": "GOVC_USERNAME",
    "password_env": "GOVC_PASSWORD",
    "password": "GOVC_PASSWORD",
    "insecure": "GOVC_INSECURE",
    "ca_file": "GOVC_TLS_CA_CERTS",
    "more_ca_files": "GOVC_TLS_CA_CERTS",
    "fingerprints": "GOVC_TLS_KNOWN_HOSTS",
}


def settings_from_environment(environ: Mapping[str, str]) -> Settings:
    """Return settings with the vCenter of GOVC_URL, named by its host. Raises ConfigError."""
    problems: list[Problem] = []
    try:
        address = split_vcenter_url(environ["GOVC_URL"])
    except ValueError as error:
        raise ConfigError([_problem("GOVC_URL", str(error))]) from None
    raw: dict[str, Any] = {"url": address.url, **_credentials(address, environ, problems)}
    raw |= _trust(address, environ, problems)
    try:
        vcenter = VCenterSettings.model_validate(raw)
        settings = Settings(vcenters={address.host: vcenter})
    except ValidationError as error:
        problems += [
            problem_of(each["loc"], words_for(each, VCenterSettings)) for each in error.errors()
        ]
    if problems:
        raise ConfigError(problems)
    return settings


def problem_of(path: Place, message: str) -> Problem:
    """Return a problem with the setting at `path`, named by the variable that it came from."""
    named = (_VARIABLES[str(part)] for part in path if part in _VARIABLES)
    return _problem(next(named, "GOVC_URL"), message)


def _problem(variable: str, message: str) -> Problem:
    return Problem(_SOURCE, None, variable, message)


def _credentials(
    address: Address, environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, object]:
    username = environ.get("GOVC_USERNAME") or address.username
    if environ.get("GOVC_PASSWORD"):
        if username is None:
            problems.append(_problem("GOVC_USERNAME", "is not set, and GOVC_PASSWORD is"))
            return {}
        return {"username": username, "password_env": "GOVC_PASSWORD"}
    if username is None:
        return {}
    if not address.password:
        problems.append(_problem("GOVC_PASSWORD", f"is not set; it is the password of {username}"))
        return {}
    return {"username": username, "password": SecretStr(address.password)}


def _trust(
    address: Address, environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, object]:
    """Return the one way to trust that the variables ask for: as with govc, `insecure` beats all,
    and a certificate that the authorities vouch for needs no thumbprint."""
    insecure = environ.get("GOVC_INSECURE", "")
    if insecure in _TRUE:
        return {"insecure": True}
    if insecure not in _FALSE:
        problems.append(_problem("GOVC_INSECURE", "must be 1, true, 0 or false"))
    if environ.get("GOVC_TLS_CA_CERTS"):
        first, *more = _paths(environ["GOVC_TLS_CA_CERTS"])
        return {"ca_file": first, "more_ca_files": tuple(more)}
    if environ.get("GOVC_TLS_KNOWN_HOSTS"):
        prints = _known_hosts(address, _paths(environ["GOVC_TLS_KNOWN_HOSTS"]), problems)
        return {"fingerprints": prints}
    return {}


def _paths(variable: str) -> list[Path]:
    return [Path(path).expanduser() for path in variable.split(os.pathsep) if path]


def _known_hosts(address: Address, paths: list[Path], problems: list[Problem]) -> tuple[str, ...]:
    """Return the thumbprints of the host, from files of lines `HOST[:PORT] THUMBPRINT`."""
    port = address.port or _HTTPS
    bare = f"[{address.host}]" if ":" in address.host else address.host
    names = {f"{bare}:{port}"} | ({bare, address.host} if port == _HTTPS else set())
    found = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            problems.append(_problem("GOVC_TLS_KNOWN_HOSTS", f"{path}: {why_unreadable(error)}"))
            continue
        except UnicodeDecodeError:
            problems.append(_problem("GOVC_TLS_KNOWN_HOSTS", f"{path}: this is not UTF-8 text"))
            continue
        for number, line in enumerate(lines, start=1):
            host, _, thumbprint = line.strip().partition(" ")
            if host.lower() not in names:
                continue
            try:
                found.append(fingerprint(thumbprint))
            except ValueError as error:
                problems.append(Problem(str(path), number, host, str(error)))
    return tuple(found)
