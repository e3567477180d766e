"""HTML, as far as the page needs it. Whatever is put into an element is escaped on the way."""

from __future__ import annotations

from html import escape

from keepalived.lease.text import printable

LONGEST_TEXT = 600
"""How much of a text is shown, in characters: a server's error message may be a whole page."""

_VOID = frozenset({"link", "meta"})

Attribute = str | float | bool | None


class Html(str):
    """Markup. Any other text is only a text, whatever it looks like."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: Attribute) -> Html:
    """Return an element. Texts in it are escaped, and Html is taken as it is.

    An attribute's name is written with underscores (`class_`, `aria_label`); True stands for one
    without a value, False and None for none at all.
    """
    opening = name + "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(*content)}</{name}>")


def join(*content: str) -> Html:
    """Return texts and markup one after the other, as markup."""
    return Html("".join(each if isinstance(each, Html) else text(each) for each in content))


def text(value: str) -> Html:
    """Return a text as markup: on one line, without what cannot be printed, and not too long."""
    if len(value) > LONGEST_TEXT:
        value = value[:LONGEST_TEXT] + "…"
    return Html(escape(printable(" ".join(value.split()) if "\n" in value else value)))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    return f' {name}="{text(value if isinstance(value, str) else f"{value:g}")}"'
