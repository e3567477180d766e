"""Send hostile requests to the HTTP listener and to the control socket."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import cycle, product
from pathlib import Path

from benchmarks.attack.channel import Channel, Message, serve
from benchmarks.attack.talk import Address, connect, read_head, request
from keepalived.control.routes import ROUTES

_ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = 0.1
_HALF_OPEN = {"http": 300, "control": 80}
"""Connections with half a request that are open at once. One user may open 192 connections to the
control socket; the other attacks need the rest."""
_PIPELINED = 100
_LONG = "9" * 400
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
_PUT = b"PUT /v1/sessions/lab/a HTTP/1.1\r\nHost: localhost\r\n"

_BAD_HEADS: dict[str, Sequence[bytes]] = {
    "garbage behind an upgrade": [
        _HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + b"x" * 65536,
        _HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\n" * 1000,
    ],
    "long request lines": [
        b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"x" * 8000 + b"\xff HTTP/1.1\r\n\r\n",
        b"GET /" + b"%ff" * 2600 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /?" + b"a=b&" * 2000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://" + b"a:" * 3900 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"x" * 1_000_000,
    ],
    "no HTTP": [b"\x16\x03\x01" * 3000, b"\xff" * 65536, b"\r\n" * 30_000, b"\0" * 65536],
    "large heads": [
        _HEAD + b"A: " + b"a" * 60_000 + b"\r\n\r\n",
        _HEAD + b"a: b\r\n" * 10_000 + b"\r\n",
        _HEAD + b"Host: x\r\nHost: y\r\nCookie: " + b"a=b; " * 1600 + b"\r\n\r\n",
        _HEAD + b"Accept: " + b"," * 8000 + b"\r\n\r\n",
    ],
    "contradictions": [
        _PUT
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        _PUT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        _PUT + b"Content-Length: -1\r\n\r\n",
        _PUT + b"Content-Length: " + _LONG.encode() + b"\r\n\r\n",
        _PUT + b"Transfer-Encoding: chunked\r\n\r\nZZ" + b"z" * 30_000 + b"\r\n",
        _PUT + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
        _PUT + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    ],
}
_BODIES: tuple[bytes, ...] = (
    b"{",
    b"\xff\xfe" * 100,
    b"[" * 16_000,
    b'{"a":' * 3200,
    b'{"owner": {"ttl": %s}}' % _LONG.encode(),
    b'{"owner": {"pid": %s}, "progress": -%s}' % (_LONG.encode(), _LONG.encode()),
    b'{"owner": {"ttl": "%sd"}}' % _LONG.encode(),
    b'{"owner": null, "progress": NaN, "bytes_total": 1e999}',
    b'{"owner": null, "note": "\\ud800\\u0000\\u001b[2J"}',
    b'{"owner": {"pid": 1, "ttl": "1s", "connection": true}}',
    b'{"owner": null, "owner": null, "max_lifetime": "%s"}' % (b"1d" * 5000),
    b'{"owner": null, "token": "%s"}' % (b"x" * 15_000),
    b'{"owner": [[[[]]]], "progress": {}, "note": 7}',
    b"{%s}" % b",".join(b'"k%d":0' % n for n in range(1500)),
    json.dumps({"owner": None}).encode("utf-16"),
    b"<xml/>",
    b"x" * 17_000,
)
_NAMES = ("lab", "-", "x" * 255, "..", "%2e%2e", "a%00b", "%ff", "a%2fb", "\xe9", _LONG)
_QUERIES = ("", "?kind=download", "?kind=" + "x" * 4000, f"?uid={_LONG}", "?owner=" + "a" * 4000)
_TARGETS = cycle(
    (method, route.path.format(vcenter=vcenter, id=name) + query)
    for route, vcenter, name, query, method in product(
        ROUTES, ("lab", "bad", "-"), _NAMES, _QUERIES, ("PUT", "PATCH", "POST", "DELETE", "GET")
    )
)


class _Attacks:
    """Each public method repeats one kind of attack until the run is over."""

    def __init__(self, channel: Channel, order: Message) -> None:
        host, port = order["http"]
        self._channel = channel
        self._counts = channel.counts
        self._places: dict[str, Address] = {
            "http": (host, port),
            "control": Path(order["control"]),
        }
        self._draw = random.Random(order["seed"])  # noqa: S311 - seeded, and no secret

    async def half_heads(self, place: str) -> None:
        """Keep connections open that never finish their request."""
        writers: list[asyncio.StreamWriter] = []
        try:
            while not self._channel.over.is_set():
                writers = [each for each in writers if not each.is_closing()]
                for _ in range(min(20, _HALF_OPEN[place] - len(writers))):
                    with suppress(OSError):
                        _, writer = await connect(self._places[place])
                        writer.write(self._draw.choice([_HEAD, b"G", b"", _PUT]))
                        writers.append(writer)
                        self._counts[f"half requests, {place}"] += 1
                await self._channel.pause(_PAUSE_SECONDS)
        finally:
            for writer in writers:
                writer.close()

    async def bad_heads(self, place: str) -> None:
        """Send invalid requests."""
        for name, sent in cycle((name, each) for name, all_ in _BAD_HEADS.items() for each in all_):
            if self._channel.over.is_set():
                return
            await self._once(place, name, sent)
            await self._channel.pause(_PAUSE_SECONDS)

    async def bodies(self, place: str) -> None:
        """Send garbage bodies to all routes that accept a request."""
        bodies = cycle(_BODIES)
        while not self._channel.over.is_set():
            method, target = next(_TARGETS)
            target = target.encode("utf-8").decode("latin-1")
            if method == "GET" and target.startswith("/v1/events"):
                continue  # an endless stream
            await self._once(place, "garbage bodies", request(method, target, next(bodies)))
            await self._channel.pause(_PAUSE_SECONDS / 4)

    async def slow_bodies(self, place: str) -> None:
        """Send a body byte by byte."""
        while not self._channel.over.is_set():
            with suppress(OSError):
                _, writer = await connect(self._places[place])
                self._counts[f"slow bodies, {place}"] += 1
                writer.write(_PUT + b"Content-Length: 16000\r\n\r\n")
                while not (self._channel.over.is_set() or writer.is_closing()):
                    writer.write(b" ")
                    await writer.drain()
                    await self._channel.pause(0.2)
                writer.close()

    async def pipelines(self, place: str) -> None:
        """Send many requests at once on one connection, and read few of the answers."""
        targets = ("/metrics", "/healthz", "/", "/v1/status", "/v1/sessions", "/openapi.json")
        for target in cycle(targets):
            if self._channel.over.is_set():
                return
            await self._once(place, "pipelined requests", request("GET", target) * _PIPELINED)
            await self._channel.pause(5 * _PAUSE_SECONDS)

    async def resets(self, place: str) -> None:
        """Send a request, and reset the connection."""
        for sent in cycle((_HEAD, request("GET", "/v1/sessions"), request("GET", "/metrics"), b"")):
            if self._channel.over.is_set():
                return
            with suppress(OSError):
                _, writer = await connect(self._places[place])
                writer.write(sent)
                if place == "http":
                    sock: socket.socket = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                writer.transport.abort()
                self._counts[f"resets, {place}"] += 1
            await self._channel.pause(_PAUSE_SECONDS)

    async def _once(self, place: str, name: str, sent: bytes) -> None:
        """Send bytes, and wait for the head of an answer or for the end of the connection."""
        self._counts[f"{name}, {place}"] += 1
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await connect(self._places[place])
                try:
                    writer.write(sent)
                    status, _ = await read_head(reader)
                finally:
                    writer.close()
        except TimeoutError:
            self._counts["requests without an answer"] += 1
        except (OSError, ValueError):
            self._counts["connections closed"] += 1
        else:
            self._counts[f"answers {status // 100}xx"] += 1


async def _work(channel: Channel, order: Message) -> None:
    names = (*_BAD_HEADS, "half requests", "garbage bodies", "slow bodies", "pipelined requests")
    places = ("http", "control")
    channel.announce(f"{name}, {place}" for name, place in product((*names, "resets"), places))
    attacks = _Attacks(channel, order)
    kinds: list[Callable[[str], Awaitable[None]]] = [
        attacks.half_heads,
        attacks.bad_heads,
        attacks.bodies,
        *[attacks.slow_bodies] * 10,
        attacks.pipelines,
        attacks.resets,
    ]
    async with asyncio.TaskGroup() as tasks:
        for kind, place in product(kinds, places):
            tasks.create_task(_endlessly(kind, place))


async def _endlessly(kind: Callable[[str], Awaitable[None]], place: str) -> None:
    await kind(place)


if __name__ == "__main__":
    serve(_work, is_hostile=True)
