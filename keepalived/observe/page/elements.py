"""HTML primitives of the page; all text in an element is escaped."""

from __future__ import annotations

from html import escape

from keepalived.lease.text import printable

LONGEST_TEXT = 600
"""Maximum number of characters shown of one text; a server's error message may fill a page."""

_VOID = frozenset({"link", "meta"})

Attribute = str | float | bool | None


class Html(str):
    """Markup. Any other string is treated as text and escaped."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: Attribute) -> Html:
    """Return an element. Text in it is escaped, Html is not.

    An attribute's name is written with underscores (`class_`, `aria_label`); True means an
    attribute without a value, False and None omit it.
    """
    opening = name + "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(*content)}</{name}>")


def join(*content: str) -> Html:
    """Concatenate texts and markup into markup."""
    return Html("".join(each if isinstance(each, Html) else text(each) for each in content))


def text(value: str) -> Html:
    """Return a text as markup: on one line, without unprintable characters, and shortened."""
    if len(value) > LONGEST_TEXT:
        value = value[:LONGEST_TEXT] + "…"
    return Html(escape(printable(" ".join(value.split()) if "\n" in value else value)))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{text(value if isinstance(value, str) else f"{value:g}")}"'
