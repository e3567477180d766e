"""The hostile vCenter: accepts logins, returns huge lists, and sends malformed answers.

python -m benchmarks.attack.rubbish '{"seed": 1, "held": ["bad-1"]}'

Until the attack starts it behaves well, and knows only the held sessions. During the attack some of
its answers are valid, since the daemon sends few requests to a vCenter that is down.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import cycle

from benchmarks.attack.channel import Channel, Message, serve

_MIB = 1024 * 1024
_SHARE_OF_RUBBISH = 0.4
_LISTED = 300_000
_FILES = 100_000
_HANG_SECONDS = 30.0
_ENDLESS_BYTES = 64 * _MIB
_PIECE = b"x" * 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Sends an answer. Raises ConnectionError, also to have the connection closed."""


def _answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _json(value: object) -> bytes:
    return _answer("200 OK", json.dumps(value).encode(), "content-type: application/json")


def _session(expires: str) -> dict[str, object]:
    return {
        "id": "s",
        "state": "ACTIVE",
        "library_item_id": "item-1",
        "library_item_content_version": "1",
        "client_progress": 1,
        "expiration_time": expires,
    }


def _file(number: int) -> dict[str, object]:
    return {
        "name": f"disk-{number:06}.vmdk",
        "source_type": "PUSH",
        "status": "TRANSFERRING",
        "size": 10**9,
        "bytes_transferred": number,
    }


_LIFETIMES = (
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00+14:00",
    "2026-13-45T99:99:99Z",
    "NaN",
    "9" * 400,
)
_RETRY_AFTER = ("9" * 400, "1e999", "-1", "nan", "Fri, 31 Dec 9999 23:59:59 GMT", "0", "1e-300")
TEXTS: dict[str, bytes] = {
    "HTML": _answer("200 OK", b"<html>" + b"<p>welcome" * 1000, "content-type: text/html"),
    "no body": _answer("200 OK"),
    "NaN": _answer("200 OK", b'{"value": NaN, "state": Infinity, "expiration_time": -Infinity}'),
    "long number": _answer("200 OK", b'{"value": %s}' % (b"9" * 5000)),
    "deep JSON": _answer("200 OK", b"[" * 100_000),
    "deep objects": _answer("200 OK", b'{"value":' * 50_000),
    "wide object": _answer("200 OK", b"{%s}" % b",".join(b'"%d":0' % n for n in range(200_000))),
    "long text": _answer("200 OK", b'"' + b"\\u0000" * 500_000 + b'"'),
    "half a character": _answer("200 OK", b'{"value": "\\ud800", "id": "\\udfff"}'),
    "no UTF-8": _answer("200 OK", b"\xff\xfe" * 1000),
    "no HTTP": b"\x16\x03\x01" * 1000,
    "long header": _answer("200 OK", b"{}", "x-long: " + "x" * 200_000),
    "large header": _answer("200 OK", b"{}", "x-large: " + "x" * 60_000),
    "many headers": _answer("200 OK", b"{}", *(f"x-{n}: {n}" for n in range(5000))),
    "long status line": b"HTTP/1.1 200 " + b"K" * 200_000 + b"\r\n\r\n",
    "absurd status": b"HTTP/1.1 99999 OK\r\ncontent-length: 0\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\n{}",
    "absurd length": b"HTTP/1.1 200 OK\r\ncontent-length: %s\r\n\r\n{}" % (b"9" * 400),
    "more than announced": _answer("200 OK", b"{}") + b"HTTP/1.1 200 OK\r\n\r\nxxx" * 1000,
    "bad chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"f" * 100_000,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    "gzip bomb": _answer("200 OK", gzip.compress(bytes(256 * _MIB)), "content-encoding: gzip"),
    "no gzip": _answer("200 OK", b"abcde", "content-encoding: gzip"),
    "redirect": _answer("302 Found", b"", "location: http://127.0.0.1:1/" + "x" * 5000),
    "redirect to a file": _answer("307 Temporary Redirect", b"", "location: file:///etc/passwd"),
    "401": _answer("401 Unauthorized", b'{"error_type": "UNAUTHENTICATED", "messages": []}'),
    "403": _answer("403 Forbidden", b"<html>" * 10_000, "content-type: text/html"),
    "404": _answer("404 Not Found", b"no such page"),
    "500": _answer("500 Internal Server Error", b'{"messages": [{"args": ' + b"[" * 50_000),
}
_REFUSALS = cycle(
    _answer(status, b"", f"retry-after: {seconds}")
    for status in ("429 Too Many Requests", "503 Service Unavailable")
    for seconds in _RETRY_AFTER
)
_LISTS = cycle(
    [
        ("300,000 ids", _json([f"00000000-0000-4000-8000-{n:012}" for n in range(_LISTED)])),
        ("a short list", _json([f"found-{n}" for n in range(50)])),
        ("ids of any form", _json(["..", "a/../b", "", None, "x" * 5000, "\ud800", {}, 7])),
    ]
)
_FILE_LISTS = cycle(
    [
        ("100,000 files", _json([_file(n) for n in range(_FILES)])),
        ("a file", _json([_file(1)])),
        ("absurd files", _json([{**_file(1), "size": -1, "name": "\x1b[2J" * 1000}] * 100)),
    ]
)
_NOT_FOUND = _answer("404 Not Found", b'{"error_type": "NOT_FOUND", "messages": []}')
_LOGGED_IN = _answer("201 Created", b'"rubbish-token-0123456789"')
_DONE = b"HTTP/1.1 204 No Content\r\n\r\n"


async def _text(text: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(text)
    await writer.drain()
    raise ConnectionResetError  # a next answer would be taken for the rest of this one


async def _refuse(writer: asyncio.StreamWriter) -> None:
    writer.write(next(_REFUSALS))
    await writer.drain()


async def _say_nothing(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(_HANG_SECONDS)
    raise ConnectionResetError


async def _break_off_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-le")
    await writer.drain()
    raise ConnectionResetError


async def _break_off_body(writer: asyncio.StreamWriter) -> None:
    writer.write(_json([1, 2, 3])[:-4])
    await writer.drain()
    raise ConnectionResetError


async def _hang_in_body(writer: asyncio.StreamWriter) -> None:
    writer.write(_json([1, 2, 3])[:-4])
    await _say_nothing(writer)


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(_ENDLESS_BYTES // len(_PIECE)):
        writer.write(b"%x\r\n%s\r\n" % (len(_PIECE), _PIECE))
        await writer.drain()
    raise ConnectionResetError


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in _json([1, 2, 3]):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    raise ConnectionResetError


_RUBBISH: dict[str, Write] = {
    **{name: partial(_text, text) for name, text in TEXTS.items()},
    "absurd Retry-After": _refuse,
    "no answer": _say_nothing,
    "half a head": _break_off_head,
    "half a body": _break_off_body,
    "a body that hangs": _hang_in_body,
    "an endless body": _endless,
    "an answer byte by byte": _drip,
    "a reset": _reset,
}


class _VCenter:
    def __init__(self, channel: Channel, order: Message) -> None:
        self._channel = channel
        self._held = set(order["held"])
        self._draw = random.Random(order["seed"])  # noqa: S311 - seeded, and no secret
        self._rubbish: Iterator[tuple[str, Write]] = cycle(_RUBBISH.items())
        self._lifetimes = cycle(_LIFETIMES)
        self.is_hostile = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests on one connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                for line in head.lower().splitlines():
                    if line.startswith("content-length: "):
                        await reader.readexactly(int(line.partition(": ")[2]))
                await self._answer(method, target, writer)
        writer.close()

    async def _answer(self, method: str, target: str, writer: asyncio.StreamWriter) -> None:
        is_login = target.endswith("/session")
        # Logins are rare, and no other request is sent before one has succeeded.
        share = _SHARE_OF_RUBBISH / 4 if is_login else _SHARE_OF_RUBBISH
        if self.is_hostile and self._draw.random() < share:
            name, write = next(self._rubbish)
            self._channel.counts[name] += 1
            await write(writer)
            return
        name, text = self._good(method, target)
        if self.is_hostile:
            self._channel.counts[name] += 1
        writer.write(text)
        await writer.drain()

    def _good(self, method: str, target: str) -> tuple[str, bytes]:
        path = target.partition("?")[0]
        name = path.rpartition("/")[2]
        if name == "session":
            known = {"POST": _LOGGED_IN, "GET": _json({"user": "uploader"})}
            return "logins", known.get(method, _DONE)
        if name in ("update-session", "download-session"):
            is_known = name == "update-session" and not self.is_hostile
            held = _json(sorted(self._held) if is_known else [])
            return next(_LISTS) if self.is_hostile else ("a list", held)
        session_id = path.split("-session/")[-1].partition("/")[0]
        if "-session/" not in path or not (self.is_hostile or session_id in self._held):
            return "not found", _NOT_FOUND
        if name == "file":
            return next(_FILE_LISTS) if self.is_hostile else ("files", _json([_file(1)]))
        if method == "GET":
            lifetime = next(self._lifetimes) if self.is_hostile else _LIFETIMES[0]
            return "absurd lifetimes", _json(_session(lifetime))
        return "keep-alives", _DONE


async def _work(channel: Channel, order: Message) -> None:
    channel.announce([*_RUBBISH, "300,000 ids", "100,000 files", "absurd lifetimes", "keep-alives"])
    vcenter = _VCenter(channel, order)
    _vcenters.append(vcenter)
    server = await asyncio.start_server(vcenter.serve, "127.0.0.1", 0)
    channel.send({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
    await channel.over.wait()
    server.close()


_vcenters: list[_VCenter] = []


def _handle(message: Message) -> None:
    for vcenter in _vcenters:
        vcenter.is_hostile = message["is_hostile"]


if __name__ == "__main__":
    serve(_work, _handle, is_hostile=True)
