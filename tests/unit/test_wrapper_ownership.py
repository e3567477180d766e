"""Which sessions belong to a command, by the names in its command line and its open files."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived.lease.answers import FileInfo, ItemInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session, new_session
from keepalived.wrapper.ownership import Selector, is_own, names_in


def session_of(item: str, *files: str) -> Session:
    key, hold = SessionKey("lab", Kind.UPDATE, "1"), Hold(0, Owner(OwnerKind.COMMAND), 0.0, None)
    return new_session(key, 300.0, hold, 0.0)._replace(
        item=ItemInfo("item-1", item, "1", "templates"),
        files=tuple(FileInfo(name, "PUSH", "TRANSFERRING") for name in files),
    )


@pytest.mark.parametrize(
    ("words", "session"),
    [
        ("govc library.import -n debian templates {file}", session_of("debian", "x.vmdk")),
        ("govc library.import -n=debian-12.5 templates {file}", session_of("debian-12.5")),
        ("govc library.import templates {file}", session_of("other", "image.vmdk")),
        ("ansible localhost -a src={file}", session_of("image")),
        ("govc library.import l https://h.example/a/my%20os.ova?x=1", session_of("my os")),
        ("govc library.import -pull l https://h.example/a.b.ova", session_of("x", "a.b.ova")),
    ],
)
def test_what_the_command_line_names_belongs_to_the_command(
    words: str, session: Session, tmp_path: Path
) -> None:
    file = tmp_path / "image.ova"
    file.touch()
    named = names_in(words.format(file=file).split(" "))
    assert is_own(session, Selector(), named)


def test_what_it_does_not_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "image.ova").touch()
    argv = (
        "govc",
        "-n",
        "debian",
        "templates",
        str(tmp_path / "image.ova"),
        str(tmp_path),
        "no.iso",
    )
    named = names_in(argv)
    for other in (session_of("debian-13"), session_of("no"), session_of("x", "imagine.ova")):
        assert not is_own(other, Selector(), named)
    # Where items are named, nothing else counts.
    assert not is_own(session_of("debian"), Selector(items=frozenset({"templates/x"})), named)


@pytest.mark.parametrize("word", ["", "http://[", "\0", "a" * 5000, "https://h.example/"])
def test_odd_words_name_nothing(word: str) -> None:
    assert names_in((word,)) == frozenset()
