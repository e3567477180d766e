"""The settings of one vCenter."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from keepalived.settings import durations, values
from keepalived.settings.base import (
    DURATION_SCHEMA,
    Duration,
    FilePath,
    Name,
    Strict,
    positive,
    tuple_of_one,
)
from keepalived.settings.discover import DiscoverSwitch
from keepalived.validation import HIDDEN, After, Before, Earlier, JsonSchema, Range, Secret, checks

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[^/\s\x00]+")
_KEEP_SECRETS_OUT = (
    "this file must not contain secrets; name the source of the password: "
    "`password_file: /path`, `password_env: NAME`, or `credential: NAME` (systemd)"
)
_PASSWORD_SOURCES = ("password_file", "password_env", "credential", "password")


class Dialect(StrEnum):
    """Which of vCenter's two REST interfaces is used; `auto` detects it at login."""

    AUTO = "auto"
    API = "api"
    REST = "rest"


class Representation(StrEnum):
    """How a keep-alive's parameters are encoded."""

    JSON = "json"
    XML = "xml"
    FORM = "form"


class Observe(StrEnum):
    """How closely sessions are observed, in addition to their renewal."""

    FILES = "files"
    STATE = "state"
    MINIMAL = "minimal"


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError("must be at least 1s")
    return seconds


def _unless_auto(value: object) -> float | None:
    return None if value in ("auto", None) else positive(durations.parse_duration(value))


def _variable(name: str) -> str:
    # The value may be a misplaced password, so the message does not contain it.
    if not _VARIABLE.fullmatch(name):
        raise ValueError("must be the name of an environment variable: letters, digits and _")
    return name


def _credential(name: str) -> str:
    if not _CREDENTIAL.fullmatch(name) or name in (".", ".."):
        raise ValueError("must be the name of a systemd credential, not a path")
    return name


def _refuse_text(value: object) -> object:
    if value is not None and not isinstance(value, Secret):
        raise ValueError(_KEEP_SECRETS_OUT)
    return value


def _not_from_a_file(message: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        if not isinstance(value, tuple):
            raise ValueError(message)
        return value

    return check


class VCenterSettings(Strict):
    """One vCenter: its address, its credentials, and how it is queried."""

    url: Annotated[str, After(values.vcenter_url)]
    """Address, `https://HOST[:PORT]`. A trailing /sdk, as in GOVC_URL, is allowed."""

    password_file: FilePath | None = None
    """File with the password. It is read again after each change."""

    password_env: Annotated[str, After(_variable)] | None = None
    """Name of the environment variable with the password."""

    credential: Annotated[str, After(_credential)] | None = None
    """Name of the systemd credential (LoadCredential=) with the password."""

    password: Annotated[Secret | None, Before(_refuse_text), HIDDEN] = None
    """The password from GOVC_URL. No configuration file can set it."""

    username: Name | None = None
    """User to log in as, such as uploader@vsphere.local. Requires one source of the password."""

    dialect: Dialect = Dialect.AUTO
    """`api` (7.0U2 and later), `rest` (6.0 to 8.x), or `auto`, which detects it at login."""

    representation: Representation = Representation.JSON
    """How keep-alives are encoded. `xml` and `form`, documented in 2014, need `dialect: rest`."""

    session_timeout: Annotated[Duration, After(_at_least_a_second)] = 300.0
    """How long a session lives without activity: the setting of the Content Library Service."""

    request_timeout: Annotated[
        float | None,
        Before(_unless_auto),
        JsonSchema({"anyOf": [{"const": "auto"}, *DURATION_SCHEMA["anyOf"]]}),
    ] = None
    """How long to wait for a response. `auto` depends on the time until the session expires."""

    max_in_flight: Annotated[int, Range(least=1)] = 8
    """The most concurrent requests."""

    ca_file: FilePath | None = None
    """PEM file of the authorities to trust instead of the system's."""

    more_ca_files: Annotated[
        tuple[Path, ...],
        Before(_not_from_a_file("give one file, with all the certificates, as `ca_file`")),
        HIDDEN,
    ] = ()
    """More files like `ca_file`. Only GOVC_TLS_CA_CERTS can set them."""

    fingerprints: Annotated[
        tuple[Annotated[str, After(values.fingerprint)], ...],
        Before(tuple_of_one),
    ] = ()
    """SHA-256 of the certificates to trust instead of any authority, with or without colons."""

    known_fingerprints: Annotated[
        tuple[str, ...],
        Before(_not_from_a_file("give the SHA-256 of the certificate as `fingerprints`")),
        HIDDEN,
    ] = ()
    """Certificates to trust if no authority does. Only GOVC_TLS_KNOWN_HOSTS can set them."""

    insecure: bool = False
    """Accept any certificate. Every start logs a warning."""

    proxy: Annotated[str, After(values.proxy_url)] | None = None
    """URL of a proxy, `http://HOST:PORT`. Default: HTTPS_PROXY and related variables."""

    discover: DiscoverSwitch = None
    """Hold the account's open sessions without registration: `true`, or filters."""

    observe: Observe = Observe.FILES
    """What to request after a renewal: `files` (and the state), `state`, or `minimal` (nothing)."""

    @checks("password_env", "credential")
    @staticmethod
    def _one_source_of_the_password(value: str | None, earlier: Earlier) -> str | None:
        others = [name for name in ("password_file", "password_env") if earlier.get(name)]
        if value is not None and others:
            raise ValueError(f"{others[0]} is given as well; give only one of the two")
        return value

    @checks("username", always=True)
    @staticmethod
    def _goes_with_a_password(value: str | None, earlier: Earlier) -> str | None:
        if any(name not in earlier for name in _PASSWORD_SOURCES):
            return value  # The source itself reports its problems.
        given = [name for name in _PASSWORD_SOURCES if earlier[name] is not None]
        if value is None and given:
            raise ValueError(f"is missing; name the user that {given[0]} belongs to")
        if value is not None and not given:
            raise ValueError("needs a password: give password_file, password_env or credential")
        if value is not None and ":" in value:
            raise ValueError("a user name cannot contain ':', which separates it from the password")
        return value

    @checks("representation")
    @staticmethod
    def _suits_the_dialect(value: Representation, earlier: Earlier) -> Representation:
        if value is not Representation.JSON and earlier.get("dialect") is Dialect.API:
            raise ValueError(f"{value} requires `dialect: rest`")
        return value

    @checks("fingerprints", "insecure")
    @staticmethod
    def _one_way_to_trust(
        value: tuple[str, ...] | bool, earlier: Earlier
    ) -> tuple[str, ...] | bool:
        others = [name for name in ("ca_file", "fingerprints") if earlier.get(name)]
        if value and others:
            raise ValueError(
                f"{others[0]} is given as well; give only one of ca_file, fingerprints, insecure"
            )
        return value

    @classmethod
    def unknown_key(cls, key: str, known: Sequence[str]) -> str:
        """Return the message for an unknown key, which may be a misspelt `password`."""
        import difflib  # for mistakes only

        if difflib.get_close_matches(key, ["password"], cutoff=0.7):
            return _KEEP_SECRETS_OUT
        return super().unknown_key(key, known)

    @property
    def ca_files(self) -> tuple[Path, ...]:
        """All files of authorities to trust; none means the system's store."""
        return (() if self.ca_file is None else (self.ca_file,)) + self.more_ca_files
