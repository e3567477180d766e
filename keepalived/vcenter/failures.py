"""Describes failures to reach a vCenter, in texts that fit a log line and contain no secret."""

from __future__ import annotations

import os
import ssl

from keepalived.host.descriptors import EXHAUSTED, are_exhausted
from keepalived.vcenter.transport import ConnectFailed, NotSent

NOT_HTTP = "the answer is not HTTP"
NO_ANSWER = "the server closed the connection instead of answering"
CUT_OFF = "the connection was closed in the middle of the answer"


def too_long(part: str) -> str:
    """Describe an answer's head that exceeds a limit; `part` says which."""
    return f"the answer has {part}, which is the limit"


def not_trusted(error: Exception) -> str:
    """Describe a certificate that no trusted authority vouches for."""
    why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error
    return f"the certificate is not trusted: {why}"


def not_pinned(sha256: bytes) -> str:
    """Describe a certificate that is not one of the pinned ones."""
    return f"the certificate is not one of the pinned ones: its SHA-256 is {sha256.hex()}"


def cannot_resolve(name: str) -> str:
    """Describe a name without an address."""
    return f"{name} cannot be resolved"


def cannot_connect(where: str, error: Exception) -> str:
    """Describe a refused connection or a failed TLS handshake."""
    return f"cannot connect to {where}: {describe_error(error)}"


def describe_error(error: Exception) -> str:
    """Return a description of an error of the operating system or of TLS, without any path but that
    of a `ca_file`; of other errors, only the type is named."""
    if isinstance(error, ssl.SSLError):
        # Only OpenSSL's own errors have a reason; asyncio raises some without one.
        reason = getattr(error, "reason", None) or "no reason given"
        return f"no TLS: {reason.replace('_', ' ').lower()}"
    if not isinstance(error, OSError):
        return f"the request cannot be sent ({type(error).__name__})"
    if error.filename is not None:
        return f"ca_file {error.filename}: {error.strerror}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def failure(error: Exception, words: str, *, is_lookup: bool = False) -> ConnectFailed:
    """Return the failure that an error while connecting means, described by `words`.

    A lookup that fails for lack of descriptors looks like one of an unknown name.
    """
    is_ours = isinstance(error, OSError) and error.errno in EXHAUSTED
    if is_ours or (is_lookup and are_exhausted()):
        return NotSent(f"this process has no descriptor left: {words}")
    return ConnectFailed(words)
