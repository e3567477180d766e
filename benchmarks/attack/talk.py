"""A minimal HTTP client for TCP and Unix sockets, for requests that no library would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

Address = Path | tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_READER_LIMIT = 256 * 1024
_NO_HEADERS: Mapping[str, str] = {}


class Answer(NamedTuple):
    """An answer: its status, its body, and whether the connection stays open."""

    status: int
    body: bytes
    goes_on: bool


async def connect(address: Address) -> Streams:
    """Open a connection. Raises OSError."""
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(str(address), limit=_READER_LIMIT)
    return await asyncio.open_connection(*address, limit=_READER_LIMIT)


def request(
    method: str, target: str, body: object = None, headers: Mapping[str, str] = _NO_HEADERS
) -> bytes:
    """Return the bytes of a request. A body that is not bytes is sent as JSON."""
    content = b"" if body is None else body if isinstance(body, bytes) else _json(body)
    fields = {"Host": "localhost", "Content-Length": str(len(content)), **headers}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {each}" for name, each in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the head of an answer. Raises ConnectionError if it is missing or incomplete."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionResetError("the connection ended before an answer") from error
    first, *lines = head.decode("latin-1").splitlines()
    fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return int(first.split(" ", 2)[1]), fields


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read a whole answer. Raises ConnectionError if it is incomplete."""
    status, fields = await read_head(reader)
    goes_on = fields.get("connection") != "close"
    try:
        if fields.get("transfer-encoding") == "chunked":
            return Answer(status, await _chunks(reader), goes_on)
        length = fields.get("content-length")
        if length is None:
            return Answer(status, await reader.read(), goes_on=False)
        return Answer(status, await reader.readexactly(int(length)), goes_on)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the connection ended within an answer") from error


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readline() or b"0", 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    await reader.readline()
    return b"".join(parts)


class Caller:
    """A client that reuses its connection while possible."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._streams: Streams | None = None

    async def send(self, method: str, target: str, body: object = None) -> Answer:
        """Send a request, and return the whole answer. Raises OSError."""
        if self._streams is None:
            self._streams = await connect(self._address)
        reader, writer = self._streams
        try:
            writer.write(request(method, target, body))
            answer = await read_answer(reader)
        except BaseException:
            self.close()
            raise
        if not answer.goes_on:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
