"""Describes failures to reach a vCenter, in texts that fit a log line and contain no secret."""

from __future__ import annotations

import os
import ssl

import aiohttp

from keepalived.vcenter.wire import NotHttpError, TooLongError


def describe_error(error: Exception, *, proxied: bool = False) -> str:
    """Return a description of an error, without the path and without any part of a proxy's URL.

    `proxied` says that the connection is to a proxy.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        why = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else cause
        return f"the certificate is not trusted: {why}"
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return f"the certificate is not one of the pinned ones: its SHA-256 is {error.got.hex()}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, proxied)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection instead of answering"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was closed in the middle of the answer"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered HTTP {error.status}"
    if isinstance(error, TooLongError):
        return f"the answer has {error}, which is the limit"
    if isinstance(error, NotHttpError | aiohttp.ClientResponseError):
        return "the answer is not HTTP"
    if isinstance(error, OSError):
        return _system_words(error)
    return f"the request cannot be sent ({type(error).__name__})"


def _no_connection(error: aiohttp.ClientConnectorError, proxied: bool) -> str:
    # With a proxy, aiohttp still names the host behind it.
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        name = "the proxy's name" if proxied else f"the name {error.host}"
        return f"{name} cannot be resolved"
    is_proxys = isinstance(error, aiohttp.ClientProxyConnectionError)
    where = "the proxy" if is_proxys else f"{error.host}:{error.port}"
    return f"cannot connect to {where}: {_system_words(error.os_error)}"


def _system_words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        # Only OpenSSL's own errors have a reason; asyncio raises some without one.
        reason = getattr(error, "reason", None) or "no reason given"
        return f"no TLS: {reason.replace('_', ' ').lower()}"
    if error.filename is not None:
        return f"ca_file {error.filename}: {error.strerror}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
