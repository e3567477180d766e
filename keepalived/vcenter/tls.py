"""TLS trust: the system's store, files of authorities, pinned certificates, or any certificate."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import NamedTuple

from keepalived.host import blocking
from keepalived.settings import VCenterSettings
from keepalived.vcenter.failures import describe_error, not_pinned
from keepalived.vcenter.transport import ConnectFailed

_FILES_SECONDS = 5.0
"""The most seconds that reading the authorities' files may take."""


class Trust(NamedTuple):
    """A context for handshakes, and the SHA-256 of the certificates that are accepted after them.

    With pins, `context` verifies nothing: a pin replaces the chain and the name.
    """

    context: ssl.SSLContext
    pins: frozenset[bytes] = frozenset()

    def check(self, connection: ssl.SSLObject) -> None:
        """Raise UnpinnedError unless the peer's certificate is a pinned one, or none is pinned."""
        if self.pins:
            digest = hashlib.sha256(connection.getpeercert(binary_form=True) or b"").digest()
            if digest not in self.pins:
                raise UnpinnedError(digest)


class UnpinnedError(Exception):
    """The server's certificate is not one of the pinned ones."""

    def __init__(self, sha256: bytes) -> None:
        super().__init__(not_pinned(sha256))
        self.sha256 = sha256


class Verification:
    """Verifies servers as configured: by authorities or pins, or by authorities, then by pins."""

    def __init__(self, settings: VCenterSettings) -> None:
        self._settings = settings
        self.trust: Trust | None = None
        """What was read last; None before that, and after a failure."""

    async def read(self) -> Trust:
        """Return what to trust. Files are read in a thread, as their file system may not answer.

        Raises ConnectFailed.
        """
        if self.trust is not None:
            return self.trust
        try:
            if self._settings.ca_files:
                reading = blocking.call(("trusted", self), self._read, seconds=_FILES_SECONDS)
                trust = await reading
            else:
                trust = self._read()
        except TimeoutError:
            words = f"ca_file: it could not be read in {_FILES_SECONDS:g} s"
            raise ConnectFailed(words) from None
        except (OSError, ValueError) as error:
            raise ConnectFailed(describe_error(error)) from None
        self.trust = trust
        return trust

    def fall_back(self, untrusted: Trust) -> bool:
        """Verify by known fingerprints from now on, if `untrusted` did without and there are any.

        They are used until they do not match either.
        """
        if untrusted.pins or not self._settings.known_fingerprints:
            return False
        if self.trust is None or not self.trust.pins:  # unless another request has done so
            self.trust = _pinned(self._settings.known_fingerprints)
        return True

    def forget(self) -> None:
        """Read the files again before the next handshake: they may have been replaced."""
        self.trust = None

    def _read(self) -> Trust:
        if self._settings.fingerprints:
            return _pinned(self._settings.fingerprints)
        if self._settings.insecure:
            return Trust(_unverified_context())
        return Trust(verifying_context(self._settings.ca_files))


def verifying_context(ca_files: tuple[Path, ...] = ()) -> ssl.SSLContext:
    """Return a context that trusts the authorities in files, or those in the system's store.

    The rules are the same for both and on every Python: a trusted certificate needs no root above
    it, and certificates need not be strict X.509 (RFC 5280), which Python 3.13 made the default
    and which certificates of VMware's authority are not. Raises OSError, which names the file, if
    one cannot be read or contains no certificate.
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


def _pinned(fingerprints: tuple[str, ...]) -> Trust:
    return Trust(_unverified_context(), frozenset(map(bytes.fromhex, fingerprints)))


def _unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
