"""Decodes long JSON lists element by element, so that the caller can pause in between.

The work for each element is bounded, however long the list is. `json.loads` would block every
thread until it returns.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.parsing import JSON_MOST, FormError

_WINDOW = JSON_MOST
"""The bytes decoded at a time; an element may have at most twice as many characters."""

_DECODE = json.JSONDecoder().raw_decode
_BLANKS = re.compile(r"[ \t\n\r]*")
_BEGIN = ("[",)
_BEGIN_WRAPPED = ("{", '"value"', ":", "[")


def elements(body: bytes, secrets: Secrets, *, is_wrapped: bool) -> Iterator[Any]:
    """Return the elements of a list one by one, with the secrets removed from their texts.

    `is_wrapped` says that the list is the `value` of an object. Raises FormError at the first
    invalid place.
    """
    window = _Window(body, secrets)
    for sign in _BEGIN_WRAPPED if is_wrapped else _BEGIN:
        while not window.take(sign):
            window.extend("a list was expected")
    is_first = True
    while True:
        window.at = _after_blanks(window.text, window.at)
        if is_first and window.take("]"):
            break
        try:
            value, end = _DECODE(window.text, window.at)
            end = _after_blanks(window.text, end)
            sign = window.text[end : end + 1]
        except (ValueError, RecursionError):
            sign = ""
        if sign not in (",", "]"):  # perhaps the window ends in the middle of an element
            window.extend("its list is not JSON, or has an element that is too long")
            continue
        is_first = False
        window.at = end + 1
        yield secrets.hide_in(value) if window.may_hold_secrets else value
        if sign == "]":
            break
    if window.remaining().strip() != (b"}" if is_wrapped else b""):
        raise FormError("there is content after its list")


class _Window:
    """The decoded part of a body; `at` is where the unread part of `text` begins."""

    def __init__(self, body: bytes, secrets: Secrets) -> None:
        self.text = ""
        self.at = 0
        self.may_hold_secrets = False
        self._body = body
        self._secrets = secrets
        self._taken = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def take(self, sign: str) -> bool:
        """Skip `sign` if it comes next; return whether it did."""
        begin = _after_blanks(self.text, self.at)
        if not self.text.startswith(sign, begin):
            return False
        self.at = begin + len(sign)
        return True

    def extend(self, problem: str) -> None:
        """Decode more of the body. Raises FormError at its end, or if an element is too long."""
        part = self._body[self._taken : self._taken + _WINDOW]
        if not part or len(self.text) - self.at > _WINDOW:
            raise FormError(problem)
        self._taken += len(part)
        try:
            more = self._decoder.decode(part, final=self._taken >= len(self._body))
        except UnicodeDecodeError:
            raise FormError("it is not UTF-8") from None
        self.text, self.at = self.text[self.at :] + more, 0
        self.may_hold_secrets = self._secrets.may_be_in(self.text.encode("utf-8", "replace"))

    def remaining(self) -> bytes:
        """Return the unread part of the body."""
        return self.text[self.at :].encode("utf-8", "replace") + self._body[self._taken :]


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at
