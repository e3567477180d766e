"""TLS trust: the system's store, files of authorities, pinned certificates, or any certificate."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

from aiohttp import Fingerprint, ServerFingerprintMismatch

from keepalived.settings import VCenterSettings


class Pinned(Fingerprint):
    """Accepts any of several certificates, by the SHA-256 of the server's certificate.

    The chain is not verified: the pin replaces that.
    """

    def __init__(self, fingerprints: tuple[str, ...]) -> None:
        self._accepted = frozenset(bytes.fromhex(each) for each in fingerprints)
        super().__init__(next(iter(self._accepted)))

    def check(self, transport: asyncio.Transport) -> None:
        """Raise ServerFingerprintMismatch unless the peer's certificate is a pinned one."""
        connection = transport.get_extra_info("ssl_object")
        digest = hashlib.sha256(connection.getpeercert(binary_form=True)).digest()
        if digest not in self._accepted:
            host, port, *_ = transport.get_extra_info("peername")
            raise ServerFingerprintMismatch(self.fingerprint, digest, host, port)


def trust(settings: VCenterSettings) -> ssl.SSLContext | Fingerprint | bool:
    """Return aiohttp's setting for verifying servers. Reads the files again at each call.

    Raises OSError, which names the file, if one cannot be read or contains no certificate.
    """
    if settings.fingerprints:
        return Pinned(settings.fingerprints)
    if settings.insecure:
        return False
    return verifying_context(settings.ca_files)


def verifying_context(ca_files: tuple[Path, ...] = ()) -> ssl.SSLContext:
    """Return a context that trusts the authorities in files, or those in the system's store.

    The rules are the same for both and on every Python: a trusted certificate needs no root above
    it, and certificates need not be strict X.509 (RFC 5280), which Python 3.13 made the default
    and which certificates of VMware's authority are not. Raises OSError as `trust`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not ca_files:
        context.load_default_certs()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for path in ca_files:
        try:
            context.load_verify_locations(cafile=path)
        except OSError as error:
            is_no_pem = isinstance(error, ssl.SSLError)
            words = "it holds no certificate in PEM" if is_no_pem else error.strerror
            raise OSError(error.errno, words, str(path)) from None
    return context
