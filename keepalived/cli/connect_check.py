"""Connect and log in to a vCenter as the daemon would, and explain what fails."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

from keepalived.cli.certificates import (
    Cause,
    Certificate,
    CertificateRefusal,
    shown_by,
    why_untrusted,
)
from keepalived.host.clock import SystemClock
from keepalived.lease.answers import Answer, Outcome
from keepalived.settings import Dialect, VCenterSettings
from keepalived.settings.values import PORTS, colons, split_vcenter_url
from keepalived.vcenter.connect import connect
from keepalived.vcenter.proxies import proxy_for
from keepalived.vcenter.tls import verifying_context

_SECONDS = 10.0

_ADVICE = {
    Outcome.TIMED_OUT: "a firewall that drops packets may be the cause",
    Outcome.LOGIN_REFUSED: "check `username` and the password; the login was not repeated, "
    "because failed logins can lock the account",
    Outcome.UNAVAILABLE: "vCenter answers but is not ready: it may be starting, or have too many "
    "open API sessions",
    Outcome.FORBIDDEN: "the credentials are valid, but the user lacks privileges",
}


class ConnectResult(NamedTuple):
    """The result of the check of one vCenter, as lines to print."""

    good: bool
    lines: tuple[str, ...]


async def check(name: str, settings: VCenterSettings) -> ConnectResult:
    """Resolve, connect to and log in to a vCenter, and log out again."""
    client = connect(name, settings, SystemClock())
    try:
        answer = await client.who_am_i(timeout=_SECONDS)
    finally:
        await client.close(timeout=_SECONDS)
    if answer.outcome is Outcome.OK:
        login = f", and logged in as {settings.username}"
        if settings.username is None:
            login = "; not logged in, as no credentials are configured"
        return ConnectResult(True, (f"{name}: reached {settings.url}{login}",))
    lines = (answer.detail, *_advice(settings, answer))
    if answer.outcome is Outcome.UNREACHABLE and proxy_for(settings) is None:
        address = split_vcenter_url(settings.url)
        host, port = address.host, address.port or PORTS[address.scheme]
        untrusted = None
        if address.scheme == "https" and not settings.insecure:
            untrusted = await _untrusted(settings, host, port)
        lines = untrusted or (answer.detail, *await _attempts(host, port))
    return ConnectResult(False, (f"{name}: {lines[0]}", *lines[1:]))


def _advice(settings: VCenterSettings, answer: Answer[None]) -> Iterator[str]:
    if answer.outcome is Outcome.UNREACHABLE:
        yield "  the connection uses a proxy: check `proxy`, HTTPS_PROXY and NO_PROXY"
    elif answer.outcome is Outcome.FAILED or answer.status in range(200, 300):
        if (dialect := settings.dialect) is not Dialect.AUTO:
            yield f"  `dialect: {dialect}` may be wrong; `auto` detects it"
    elif answer.outcome in _ADVICE:
        yield f"  {_ADVICE[answer.outcome]}"


async def _attempts(host: str, port: int) -> list[str]:
    """Return for each of the host's addresses why the connection fails."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    lines = []
    for address in dict.fromkeys(str(each[4][0]) for each in found):
        try:
            async with asyncio.timeout(_SECONDS):
                _, writer = await asyncio.open_connection(address, port)
            writer.transport.abort()
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else f"no answer within {_SECONDS:g} s"
            lines.append(f"  {address}: {why}")
    return lines


async def _untrusted(settings: VCenterSettings, host: str, port: int) -> tuple[str, ...] | None:
    """Return why the server's certificate is not trusted, or None if it is not the cause."""
    try:
        if (why := await _why_untrusted(settings, host, port)) is None:
            return None
        certificate = await shown_by(host, port)
    except OSError:
        return None
    headline = f"the certificate of {host}:{port} is not trusted: {why.explanation}"
    return (headline, *_shown(certificate), *_remedies(settings, why.cause, certificate))


async def _why_untrusted(
    settings: VCenterSettings, host: str, port: int
) -> CertificateRefusal | None:
    pins = settings.fingerprints or settings.known_fingerprints
    if pins and (await shown_by(host, port)).sha256 in pins:
        return None
    if settings.fingerprints:
        return CertificateRefusal("it is not one of `fingerprints`", Cause.PIN)
    return await why_untrusted(host, port, verifying_context(settings.ca_files))


def _shown(certificate: Certificate) -> Iterator[str]:
    yield f"  SHA-256  {colons(certificate.sha256)}"
    if certificate.subject:
        yield f"  subject  {certificate.subject}"
        yield f"  issuer   {certificate.issuer}"
        yield f"  valid    {certificate.not_before} to {certificate.not_after}"
    if certificate.names:
        yield f"  names    {', '.join(certificate.names)}"


def _remedies(settings: VCenterSettings, cause: Cause, certificate: Certificate) -> Iterator[str]:
    """Yield what to do about a certificate, with lines to paste into the configuration."""
    pin = f'    fingerprints: ["{colons(certificate.sha256)}"]'
    instead = " (instead of `ca_file`)" if settings.ca_files else ""
    match cause:
        case Cause.EXPIRED:
            yield "Renew the vCenter's certificate: an expired certificate is not trusted."
        case Cause.NOT_YET_VALID:
            yield "Compare the clock of this host with the vCenter's."
        case Cause.NAME:
            yield "Use a name of the certificate in `url`, or install one for this name."
        case Cause.AUTHORITY | Cause.PIN:
            yield "If this is your vCenter's certificate (compare the SHA-256), trust it with"
            yield pin
            yield f"or trust its issuer: unpack {settings.url}/certs/download.zip and set"
            yield "    ca_file: /etc/clkeepalived/vcenter-ca.pem"
            return
    yield f"Until then, compare the SHA-256 and pin the certificate{instead} with"
    yield pin
