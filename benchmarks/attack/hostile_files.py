"""Write hostile session files into a folder that the daemon watches."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

from benchmarks.attack.channel import Channel, Message, serve

_MOST = 60
"""Number of files that exist at once."""
_PAUSE_SECONDS = 0.05
_LARGE_BYTES = 60 * 1024 * 1024
_REFUSED_BYTES = 300 * 1024 * 1024
_BLANK_BYTES = 8 * 1024 * 1024
_ENTRIES = 2000
_LONG = "9" * 400

_ENTRY = "sessions:\n- {{id: good, vcenter: bad}}\n- {{id: theirs, vcenter: bad, {}}}\n"
_WHOLE = "sessions: [{id: theirs, vcenter: bad}]\n"

_FIELDS = {
    "explicit tags": (
        "note: !!bool x",
        "progress: !!int {}",
        "note: !!binary '?'",
        "note: !!timestamp 2026-13-45",
        "note: !!python/object/apply:os.abort []",
        "path: !!set {a, b}",
        "note: !own x",
    ),
    "no such home": ("path: ~no-such-user/x", "token_file: ~no-such-user/x"),
    "NUL": ('path: "a\\0b"', 'token_file: "a\\0b"', 'note: "a\\0b"'),
    "surrogates": ('note: "\\ud800"', 'path: "\\udfff"', 'kind: "\\udfff\\ud800"'),
    "keys that are no text": ("null: x", "1.5: x", "[a]: x", "{a: b}: x", "? [a, b]\n  : x"),
    "long numbers": (
        f"max_lifetime: {_LONG}",
        f"progress: {_LONG}",
        f"bytes_total: -{9 * _LONG}",
        f"bytes_done: 1e{_LONG}",
        f'max_lifetime: "{_LONG}d"',
    ),
    "files that block": (
        "token_file: /proc/kmsg",
        "path: /proc/kmsg",
        "token_file: FIFO",
        "path: FIFO",
        "token_file: /dev/zero",
        "path: /dev/full",
    ),
}
_DOCUMENTS = {
    "alias bombs": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{after}: &{after} [{', '.join([f'*{name}'] * 9)}]\n"
            for name, after in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "sessions: *i\n",
        "a: &a {" + ", ".join(f"k{n}: {n}" for n in range(5000)) + "}\n"
        f"sessions: [{{<<: [{', '.join(['*a'] * 5000)}]}}]\n",
        "sessions: &a [*a]\n",
    ),
    "deep nesting": (
        "sessions: " + "[" * 100_000,
        "sessions: " + "{a: " * 20_000 + "1" + "}" * 20_000,
        "".join(f"{' ' * n}a:\n" for n in range(2000)),
    ),
    "bytes": ("\udcff\udcfe" * 100, "sessions: \x1b[2J", "\x00" * 1000, "%YAML 9.9\n---\n---\n"),
    "broken syntax": ("sessions: [{id: 'half a li\n", "sessions:\n\t- x\n", "*a\n", "- " * 50_000),
    "other shapes": ("[]", "x", "null", "sessions: {a: b}\n", "sessions: [[], null, 7, x]\n" * 2),
    "long texts": (
        f"sessions: [{{id: {'x' * 1_000_000}, vcenter: bad}}]\n",
        f"sessions: [{{id: theirs, vcenter: bad, note: '{'x' * 1_000_000}'}}]\n",
    ),
    "many entries": (
        "sessions:\n" + "".join(f"- {{id: f-{n}, vcenter: bad}}\n" for n in range(_ENTRIES)),
        "sessions:\n" + "".join(f"- {{id: '/{n}', progres: 1}}\n" for n in range(_ENTRIES)),
        "sessions:\n" + "- {id: same, vcenter: bad}\n" * _ENTRIES,
    ),
}

_LINKS = (
    "/proc/kmsg",
    "/dev/zero",
    "/dev/random",
    "/dev/tty",
    "/dev/full",
    "/proc/self/mem",
    "/proc/self/pagemap",
    "/",
    "FIFO",
    "itself",
    "/nowhere/at/all",
)


class Folder:
    """The watched folder. The method for each kind of attack writes one file of that kind."""

    def __init__(self, order: Message) -> None:
        self._folder = Path(order["folder"])
        self._own = Path(order["own"])
        self._targets: Sequence[str] = order["targets"]
        self._draw = random.Random(order["seed"])  # noqa: S311 - seeded, and no secret
        self._made: list[bytes] = []
        self._number = 0
        self._turns: dict[str, cycle[str]] = {}
        self._fifo = self._own / "fifo"
        os.mkfifo(self._fifo)
        self._token = self._own / "token"
        self._token.write_text("no-token-of-anybody\n")

    def attacks(self) -> dict[str, Callable[[], None]]:
        """Return the functions that write one file of each kind."""
        return {
            **{name: lambda name=name: self._field(name) for name in _FIELDS},  # type: ignore[misc]
            **{name: lambda name=name: self._document(name) for name in _DOCUMENTS},  # type: ignore[misc]
            "pipes": self._pipe,
            "symbolic links": self._link,
            "names": self._name,
            "large files": self._large,
            "half-written files": self._half,
            "files that vanish": self._vanishing,
            "many small files": self._crowd,
            "folders": self._directory,
            "wrong tokens": self._wrong_token,
            "files without rights": self._closed,
        }

    def tidy(self, most: int = 0) -> None:
        """Remove the oldest files, all but `most`."""
        while len(self._made) > most:
            path = self._made.pop(0)
            with suppress(OSError):
                os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(
                    path
                )

    def _path(self, name: bytes = b"") -> bytes:
        self._number += 1
        path = os.fsencode(self._folder) + b"/%d%s.yaml" % (self._number, name)
        self._made.append(path)
        return path

    def _next(self, name: str, choices: Sequence[str]) -> str:
        return next(self._turns.setdefault(name, cycle(choices)))

    def _write(self, text: str, path: bytes | None = None) -> None:
        with open(path or self._path(), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))

    def _field(self, name: str) -> None:
        field = self._next(name, _FIELDS[name]).replace("FIFO", str(self._fifo))
        self._write(_ENTRY.format(field))

    def _document(self, name: str) -> None:
        self._write(self._next(name, _DOCUMENTS[name]))

    def _pipe(self) -> None:
        os.mkfifo(self._path())

    def _link(self) -> None:
        path = self._path()
        to = self._next("links", _LINKS)
        os.symlink({b"FIFO": os.fsencode(self._fifo), b"itself": path}.get(to.encode(), to), path)

    def _name(self) -> None:
        name = self._draw.choice(
            [b"caf\xe9", b"\xff" * 200, b"\n\x1b[2J", b'"}{', b"x" * 200, b"%s%n{}", b"[*]"]
        )
        self._write(self._draw.choice([_WHOLE, _ENTRY.format("progress: 101")]), self._path(name))

    def _large(self) -> None:
        size = self._draw.choice([_LARGE_BYTES, _REFUSED_BYTES, _BLANK_BYTES])
        with open(self._path(), "wb") as file:
            if size == _BLANK_BYTES:
                file.write(b"\n" * size)
            else:
                file.truncate(size)

    def _half(self) -> None:
        text = "sessions:\n" + "- {id: theirs, vcenter: bad, note: half}\n" * 20
        self._write(text[: self._draw.randrange(len(text))])

    def _vanishing(self) -> None:
        for _ in range(20):
            path = self._path()
            self._write(_WHOLE, path)
            if self._draw.random() < 0.5:
                os.unlink(path)

    def _crowd(self) -> None:
        for number in range(30):
            lines = "".join(f"- {{id: c-{number}-{n}, vcenter: bad}}\n" for n in range(60))
            self._write(f"sessions:\n{lines}")

    def _directory(self) -> None:
        os.mkdir(self._path())

    def _wrong_token(self) -> None:
        """Lend an invalid token for sessions of other users."""
        targets = self._draw.sample(self._targets, 5)
        entry = f"vcenter: lab, token_file: {self._token}"
        lines = "".join(f"- {{id: '{each}', {entry}}}\n" for each in targets)
        self._write(f"sessions:\n{lines}")

    def _closed(self) -> None:
        path = self._path()
        self._write(_WHOLE, path)
        os.chmod(path, 0)


async def _work(channel: Channel, order: Message) -> None:
    folder = Folder(order)
    channel.announce(folder.attacks())
    attacks = cycle(folder.attacks().items())
    while not channel.over.is_set():
        name, attack = next(attacks)
        attack()
        channel.counts[name] += 1
        folder.tidy(_MOST)
        await channel.pause(_PAUSE_SECONDS)
    folder.tidy()


if __name__ == "__main__":
    serve(_work, is_hostile=True)
