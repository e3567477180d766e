"""Decide which of the sessions that appeared belong to the wrapped command.

Service accounts are shared, and the server lists the sessions of an account, not of a program. So
a new session need not be the command's; a name that the command uses is much better evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

from keepalived.lease.answers import ItemInfo
from keepalived.lease.session import RequestKind, Session


@dataclass(frozen=True, slots=True)
class Selector:
    """What the user declared as the command's own: session ids, and items as LIBRARY/NAME."""

    session_ids: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()


_NAME_OPTIONS = ("-n", "-name", "--name")


def names_in(argv: Sequence[str]) -> frozenset[str]:
    """Return what a command line names: existing files, URLs' last parts, and `-n NAME`.

    A short upload may be over before its open file is seen, and of a URL no file is ever open.
    """
    found = set()
    for before, word in zip(("", *argv), argv, strict=False):
        option, _, value = word.partition("=")
        if before in _NAME_OPTIONS:
            found.add(word)
        elif option in _NAME_OPTIONS:
            found.add(value)
        for text in (word, value):
            with suppress(ValueError, OSError):  # no URL, no path
                if "://" in text:
                    found.add(PurePath(unquote(urlsplit(text).path)).name)
                elif Path(text).is_file():
                    found.add(PurePath(text).name)
    return frozenset(found - {""})


def is_own(session: Session, wanted: Selector, opened: Collection[str]) -> bool:
    """Whether a session is the command's own, as far as is known now.

    If items were named, they decide: another user's job may send a file of the same name. Otherwise
    `opened` decides: the paths of regular files that the command's processes have, or had, open,
    and the names in its command line. One matches a session that has a file of that name, or of
    that name with another suffix, or whose item has its name: an archive is often unpacked during
    the upload, and its files and its item keep its name.
    """
    if session.key.id in wanted.session_ids:
        return True
    # After a complete round, an item that is still unknown cannot be read.
    was_read = session.renewals > 0 and session.next_kind is RequestKind.KEEP_ALIVE
    if wanted.items and (session.item is not None or not was_read):
        return _is_among(session.item, wanted.items)
    names = {PurePath(path).name for path in opened}
    stems = names | {PurePath(name).stem for name in names}
    if any(PurePath(file.name).stem in stems for file in session.files):
        return True
    return session.item is not None and session.item.name in stems


def _is_among(item: ItemInfo | None, items: Collection[str]) -> bool:
    if item is None:
        return False
    if item.library is None:  # not readable by our account
        return any(item.name == each.partition("/")[2] for each in items)
    return f"{item.library}/{item.name}" in items


def item_name(session: Session) -> str | None:
    """Return LIBRARY/NAME of a session's item, as far as it is known."""
    item = session.item
    if item is None:
        return None
    return f"{item.library}/{item.name}" if item.library else item.name


def name_of(session: Session) -> str:
    """Return a session's name for people: its item, or else its id."""
    return item_name(session) or session.key.id
