"""Hides secrets in the texts of answers, in all encodings in which a server may repeat them.

A server may repeat a secret as it is, percent-encoded, escaped for JSON or HTML, in base64, in hex,
or in nested encodings. So texts are searched both as they are and decoded, in time linear in their
length. No regular expression contains a secret, since Python caches compiled ones.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

HIDDEN = "***"

_MOST_NESTED = 3
"""The most nested encodings that are decoded."""
_SHORTEST_CODE = 6
"""Shorter base64 or hex codes occur in ordinary words."""
_TEXT_MOST = 16 * 1024
"""The most characters of a text that are searched; longer texts are truncated."""
_SUSPECT_MOST = _TEXT_MOST
"""The most characters that are decoded in all texts of an answer, or of a list element."""
_EACH = 32
"""The fixed cost of processing a text, in characters that take as long to decode."""
_WIDEST_CODE = 12
"""The most characters that encode one character of a secret, except in unusual nestings."""

# Codes of a character, or of bytes (percent-encoded and \\x). Names of entities have at most 31
# characters.
_CODE = re.compile(
    r"(?P<bytes>(?:%[0-9a-fA-F]{2})+|(?:\\x[0-9a-fA-F]{2})+)"
    r"|\\(?:u(?P<unicode>[0-9a-fA-F]{4})|(?P<escaped>[\"'/\\bfnrt]))"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});?)"
)
_CODE_MARKS = frozenset("%\\&+")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Secrets:
    """Secrets that must not be shown, prepared for searching."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = tuple(dict.fromkeys(filter(None, secrets)))
        self._needles = tuple(
            dict.fromkeys(needle for secret in self._secrets for needle in _needles(secret))
        )
        self._widest = _WIDEST_CODE * max(map(len, self._secrets), default=0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __repr__(self) -> str:
        return f"Secrets({len(self._secrets)})"

    def hide(self, text: str) -> str:
        """Return a text with each secret in it replaced."""
        if not self._needles or self._is_clean(text):
            return text
        is_cut = len(text) > _TEXT_MOST
        text = text[:_TEXT_MOST]
        spans = [span for view in _views(text) for span in self._found_in(view)]
        if is_cut:  # perhaps in the middle of a secret
            spans.append((max(0, len(text) - self._widest), len(text)))
        return _without(text, spans) if spans else text

    def hide_in(self, value: Any) -> Any:
        """Return a JSON value with each secret in its texts replaced, except in keys.

        If that requires decoding more than _SUSPECT_MOST characters, the remaining texts are
        replaced entirely: no vCenter sends so much encoded text.
        """
        return self._hide_in(value, [_SUSPECT_MOST])

    def _hide_in(self, value: Any, left: list[int]) -> Any:
        if isinstance(value, str):
            if not self._needles or self._is_clean(value):
                return value
            left[0] -= _EACH + min(len(value), _TEXT_MOST)
            return self.hide(value) if left[0] >= 0 else HIDDEN
        if isinstance(value, list):
            return [self._hide_in(each, left) for each in value]
        if isinstance(value, dict):
            return {key: self._hide_in(each, left) for key, each in value.items()}
        return value

    def _is_clean(self, text: str) -> bool:
        """Whether a text needs no decoding and contains no secret."""
        return (
            len(text) <= _TEXT_MOST
            and _CODE_MARKS.isdisjoint(text)
            and not self._is_in(text.casefold())
        )

    def may_be_in(self, body: bytes) -> bool:
        """Whether the texts of a JSON body may contain a secret. Fast if they do not."""
        if not self._needles:
            return False
        try:
            text = body.decode("ascii")
        except UnicodeDecodeError:
            return True
        if not _CODE_MARKS.isdisjoint(text):
            return True
        return self._is_in(text.lower())

    def _is_in(self, folded: str) -> bool:
        return any(needle in folded for needle in self._needles)

    def _found_in(self, view: _View) -> Iterator[tuple[int, int]]:
        """Return where a view contains secrets, as spans of the original text."""
        folded, origins = view.folded()
        for needle in self._needles:
            at = folded.find(needle)
            while at >= 0:
                end = at + len(needle)
                yield origins[at][0], origins[end - 1][1]
                at = folded.find(needle, end)


NO_SECRETS = Secrets()


@dataclass(eq=False, repr=False, slots=True)
class _View:
    """A decoded text, with the span in the original of each character."""

    text: str
    origins: list[tuple[int, int]]

    def folded(self) -> tuple[str, list[tuple[int, int]]]:
        """Return the case-folded text and its spans; one character may become several."""
        folded = self.text.casefold()
        if len(folded) == len(self.text):
            return folded, self.origins
        parts = [each.casefold() for each in self.text]
        origins = [
            origin
            for part, origin in zip(parts, self.origins, strict=True)
            for _ in range(len(part))
        ]
        return "".join(parts), origins

    def decoded(self) -> _View | None:
        """Decode one layer of encoding; return None if there is none."""
        text, origins = self.text, self.origins
        parts: list[str] = []
        places: list[tuple[int, int]] = []
        last = 0
        for match in _CODE.finditer(text):
            begin, end = match.span()
            parts.append(text[last:begin])
            places += origins[last:begin]
            last = end
            if coded := match["bytes"]:
                meant, widths = _from_bytes(coded)
            else:
                meant = _meant_by(match)
                widths = [end - begin] * len(meant)
                if len(meant) > 1:  # a named entity of two characters
                    places += [(origins[begin][0], origins[end - 1][1])] * len(meant)
                    parts.append(meant)
                    continue
            at = begin
            for width in widths:
                places.append((origins[at][0], origins[at + width - 1][1]))
                at += width
            parts.append(meant)
        if not last:
            return None
        parts.append(text[last:])
        places += origins[last:]
        return _View("".join(parts), places)


def _views(text: str) -> Iterator[_View]:
    """Return a text as it is, and decoded up to several times."""
    origins = [(at, at + 1) for at in range(len(text))]
    # Forms encode blanks as plus signs.
    for form in {text, text.replace("+", " ")}:
        view: _View | None = _View(form, origins)
        for _ in range(_MOST_NESTED + 1):
            if view is not None:
                yield view
                view = view.decoded()


def _meant_by(match: re.Match[str]) -> str:
    if code := match["unicode"]:
        return chr(int(code, 16))
    if escaped := match["escaped"]:
        return _ESCAPED.get(escaped, escaped)
    return html.unescape(match["entity"])


def _from_bytes(coded: str) -> tuple[str, list[int]]:
    """Decode `%C3%A9` or `\\xc3\\xa9`: return the characters and the encoded width of each."""
    unit = 3 if coded[0] == "%" else 4
    content = bytes.fromhex(coded.replace("%", "").replace("\\x", ""))
    # Bytes that are not UTF-8 are kept as surrogates.
    text = content.decode("utf-8", "surrogateescape")
    widths = [unit * len(each.encode("utf-8", "surrogateescape")) for each in text]
    return text, widths


def _needles(secret: str) -> Iterator[str]:
    """Return the texts to search for: a folded secret, and its encodings that no view decodes."""
    content = secret.encode("utf-8", "surrogatepass")
    yield secret.casefold()
    codes = [content.hex()]
    for encode, before in product((b64encode, urlsafe_b64encode), range(3)):
        # At each offset, only the characters that do not depend on neighbouring bytes.
        code = encode(bytes(before) + content).decode("ascii")
        codes.append(code[-(-before * 8 // 6) : (before + len(content)) * 8 // 6])
    for code in codes:
        if len(code) >= _SHORTEST_CODE:
            yield code.casefold()


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """Replace the given spans of a text; overlapping ones count as one."""
    parts: list[str] = []
    kept = 0
    for begin, end in sorted(spans):
        if begin >= kept:
            parts += (text[kept:begin], HIDDEN)
        kept = max(kept, end)
    parts.append(text[kept:])
    return "".join(parts)
