"""Limits on the bodies of answers, and their decompression."""

from __future__ import annotations

import asyncio
import zlib

from keepalived.host.slices import PAUSE_SECONDS
from keepalived.vcenter.failures import CUT_OFF
from keepalived.vcenter.transport import AnswerTooLong, ConnectFailed

BODY_MOST = 32 * 1024 * 1024
"""The most bytes of an answer that are read: a list of 100,000 files has some 25 MB."""

LARGE_BODY = 1024 * 1024
"""Bytes beyond which a server's answers are read one at a time, to save memory."""

ACCEPT_ENCODING = "gzip, deflate"
"""What `decompress` understands, as a header."""

_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def body_too_long() -> AnswerTooLong:
    """Return the failure of an answer that exceeds BODY_MOST."""
    return AnswerTooLong(f"the answer is longer than {BODY_MOST >> 20} MiB")


async def decompress(body: bytes, encoding: str) -> bytes:
    """Return the plain body of an answer, decompressed in slices so that renewals can run.

    A body of an unknown encoding is returned unchanged. Raises AnswerTooLong, and ConnectFailed for
    corrupt data.
    """
    wbits = _WBITS.get(encoding.strip().lower())
    if wbits is None:
        return body
    decompressor = zlib.decompressobj(wbits)
    parts: list[bytes] = []
    size = 0
    try:
        while body and not decompressor.eof:
            part = decompressor.decompress(body, LARGE_BODY)
            body = decompressor.unconsumed_tail
            parts.append(part)
            size += len(part)
            if size > BODY_MOST:
                raise body_too_long()
            if body:
                await asyncio.sleep(PAUSE_SECONDS)
    except zlib.error:
        raise ConnectFailed(CUT_OFF) from None
    if not decompressor.eof:
        raise ConnectFailed(CUT_OFF)
    return b"".join(parts)
