"""Inspect the certificate that a server presents, using only the standard library."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from enum import Enum
from typing import Any, NamedTuple

from keepalived.settings.problems import printable

_SECONDS = 10.0

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which the ssl module has no name: expired
# certificates are inspected as well.
_NO_CHECK_TIME = 0x200000


class Cause(Enum):
    """Why a certificate is refused; each cause has its own remedy."""

    AUTHORITY = "authority"
    NOT_YET_VALID = "not yet valid"
    EXPIRED = "expired"
    NAME = "name"
    PIN = "pin"


# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and
# _IP_ADDRESS_MISMATCH.
_CAUSES = {9: Cause.NOT_YET_VALID, 10: Cause.EXPIRED, 62: Cause.NAME, 64: Cause.NAME}


class CertificateRefusal(NamedTuple):
    """Why a server's certificate is not trusted: an explanation and its cause."""

    explanation: str
    cause: Cause


class Certificate(NamedTuple):
    """The contents of a certificate. If it is unreadable, only the fingerprint is set."""

    sha256: str
    subject: str = ""
    issuer: str = ""
    not_before: str = ""
    not_after: str = ""
    names: tuple[str, ...] = ()


async def shown_by(host: str, port: int) -> Certificate:
    """Return the certificate that a server presents. Raises OSError, including ssl.SSLError."""
    der, _ = await _handshake(host, port, _trusting(None))
    sha256 = hashlib.sha256(der).hexdigest()
    # The ssl module parses only certificates that it has verified, so a second handshake trusts
    # exactly this one.
    try:
        _, fields = await _handshake(host, port, _trusting(der))
    except OSError:
        return Certificate(sha256)
    return Certificate(
        sha256,
        _name(fields.get("subject", ())),
        _name(fields.get("issuer", ())),
        str(fields.get("notBefore", "")),
        str(fields.get("notAfter", "")),
        tuple(printable(str(name)) for _, name in fields.get("subjectAltName", ())),
    )


async def why_untrusted(host: str, port: int, context: ssl.SSLContext) -> CertificateRefusal | None:
    """Return why `context` does not trust a server, or None if it does. Raises OSError."""
    try:
        await _handshake(host, port, context)
    except ssl.SSLCertVerificationError as error:
        return CertificateRefusal(
            error.verify_message, _CAUSES.get(error.verify_code, Cause.AUTHORITY)
        )
    return None


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> tuple[bytes, dict[str, Any]]:
    """Connect; return the server's certificate as DER and, if it was verified, also parsed."""
    async with asyncio.timeout(_SECONDS):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) or b""
    fields = tls.getpeercert() or {}
    writer.transport.abort()
    return der, fields


def _trusting(der: bytes | None) -> ssl.SSLContext:
    """Return a context that trusts only this certificate, or any certificate for None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if der is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=der)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    return context


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return a distinguished name on one line, as its text is not verified yet."""
    return printable(", ".join(f"{key}={value}" for group in parts for key, value in group))
