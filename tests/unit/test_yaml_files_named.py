"""Files that a line names: the one that is transferred, and the one with its uploader's token."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from keepalived.lease.holds import LentToken
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.progress import Progress
from keepalived.sources.attempts import Attempt
from keepalived.sources.named_files import NamedFiles, check_files
from tests.support.yaml_site import LOOK, Site, sessions, site

pytestmark = pytest.mark.looptime

KEY = SessionKey("lab", Kind.UPDATE, "a")
SECRET = "4dcd5f6e8a7b"


def write_line(folder: Path, **fields: object) -> None:
    pairs = "".join(f", {name}: {value}" for name, value in fields.items())
    (folder / "a.yaml").write_text(f"# one line\nsessions: [{{id: a{pairs}}}]\n")


def refuse(site: Site) -> None:
    """Let the vCenter refuse the token that was lent, as a keeper commits it."""
    session = site.registry.find(KEY)
    assert session is not None
    (hold,) = session.holds
    assert hold.token is not None
    dead = replace(hold, token=replace(hold.token, refused=True))
    site.registry.commit(session._replace(holds=(dead,)), ())


async def test_the_size_of_the_file_is_the_total_and_is_followed(tmp_path: Path) -> None:
    iso = tmp_path / "a.iso"
    iso.write_bytes(bytes(200))
    write_line(tmp_path, path="a.iso", bytes_done=50)
    async with site(tmp_path) as at_home:
        assert at_home.hold("a").progress == Progress(done=50, total=200)
        iso.write_bytes(bytes(400))
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").progress == Progress(done=50, total=400)
        write_line(tmp_path, path="a.iso", bytes_done=100)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").progress == Progress(done=100, total=400)
        # What is done of a file that is still being written may be ahead of its size.
        iso.write_bytes(bytes(10))
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").progress == Progress(done=100)
        assert at_home.ear.heard == []


async def test_a_total_alone_is_known_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.iso").write_bytes(bytes(200))
    write_line(tmp_path, path="a.iso")
    async with site(tmp_path) as at_home:
        assert at_home.hold("a").progress == Progress(total=200)


async def test_a_file_that_is_not_there_yet_is_named_once_and_followed(tmp_path: Path) -> None:
    write_line(tmp_path, path="iso/a.iso", bytes_done=1)
    async with site(tmp_path) as at_home:
        assert at_home.hold("a").progress == Progress(done=1)
        await asyncio.sleep(3 * LOOK + 0.1)
        (told,) = at_home.ear.heard
        assert told == (
            "failed",
            "a.yaml",
            f"sessions[0].path: {tmp_path}/iso/a.iso: there is no such file; "
            "the size of the transfer is not known",
        )
        (tmp_path / "iso").mkdir()
        (tmp_path / "iso" / "a.iso").write_bytes(bytes(8))
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").progress == Progress(done=1, total=8)
        assert at_home.ear.heard[1:] == [("recovered", "a.yaml")]


async def test_a_file_that_is_cleared_away_keeps_its_size(tmp_path: Path) -> None:
    iso = tmp_path / "a.iso"
    iso.write_bytes(bytes(200))
    write_line(tmp_path, path="a.iso")
    async with site(tmp_path) as at_home:
        iso.unlink()
        await asyncio.sleep(3 * LOOK + 0.1)
        assert at_home.hold("a").progress == Progress(total=200)
        assert at_home.ear.heard == []


@pytest.mark.parametrize("kind", ["folder", "pipe"])
async def test_what_has_no_size_or_content_of_its_own_is_not_waited_for(
    tmp_path: Path, kind: str
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir() if kind == "folder" else os.mkfifo(odd)
    write_line(tmp_path, path="odd", token_file="odd")
    async with site(tmp_path) as at_home:
        assert (at_home.hold("a").progress, at_home.hold("a").token) == (Progress(), None)
        ((_, _, *problems),) = at_home.ear.heard
        assert [each.partition(":")[0] for each in problems] == [
            "sessions[0].path",
            "sessions[0].token_file",
        ]


async def test_a_token_is_lent_and_a_fresh_one_takes_its_place(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        assert at_home.hold("a").token == LentToken(SECRET)
        refuse(at_home)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken(SECRET, refused=True)
        token.write_text("fresh")
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken("fresh")
        assert at_home.ear.heard == []


async def test_a_refused_token_stays_refused_whatever_else_changes(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        refuse(at_home)
        write_line(tmp_path, token_file="token", note="other", progress=5)
        os.utime(token)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").note == "other"
        assert at_home.hold("a").token == LentToken(SECRET, refused=True)
        await at_home.source.apply(at_home.settings)
        assert at_home.hold("a").token == LentToken(SECRET, refused=True)


async def test_an_unchanged_token_is_not_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    long_ago = time.time() - 60
    os.utime(token, (long_ago, long_ago))
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        # Same signature, other content: what is not looked into is not noticed.
        token.write_text(SECRET[::-1])
        os.utime(token, (long_ago, long_ago))
        await asyncio.sleep(2 * LOOK + 0.1)
        assert at_home.hold("a").token == LentToken(SECRET)
        await at_home.source.apply(at_home.settings)
        assert at_home.hold("a").token == LentToken(SECRET[::-1])


async def test_an_unchanged_token_is_lent_to_a_session_that_is_started_anew(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    os.utime(token, (1e9, 1e9))
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        at_home.end("a")
        write_line(tmp_path, token_file="token", note="again")
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken(SECRET)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file"),
        ("\n", "the API token is empty"),
        (f"{SECRET} {SECRET}", "an API token consists of printable ASCII characters"),
        (SECRET + "\N{SNOWMAN}", "an API token consists of printable ASCII characters"),
        (SECRET * 1000, "an API token has at most 4096 characters"),
    ],
)
async def test_what_is_no_token_is_told_without_it_and_the_session_held(
    tmp_path: Path, content: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content, encoding="utf-8")
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        assert at_home.hold("a").token is None
        await asyncio.sleep(3 * LOOK + 0.1)
        ((_, _, told),) = at_home.ear.heard
        assert told.startswith(f"sessions[0].token_file: {token}: {why}")
        assert told.endswith("; the session is held without that token")
        assert SECRET not in told
        token.write_text("good")
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken("good")
        assert at_home.ear.heard[-1] == ("recovered", "a.yaml")
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err


async def test_the_line_is_named(tmp_path: Path) -> None:
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        (problem,) = at_home.ear.problems
        assert problem.startswith(f"{tmp_path}/a.yaml:2: sessions[0].token_file: ")


async def test_a_token_whose_file_is_gone_is_given_up_at_the_second_look(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        token.unlink()
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken(SECRET)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token is None
        token.write_text(SECRET)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken(SECRET)
        token.unlink()
        await at_home.source.apply(at_home.settings)
        assert at_home.hold("a").token is None


async def test_a_token_whose_file_comes_back_as_it_was_is_lent_again(tmp_path: Path) -> None:
    token, aside = tmp_path / "token", tmp_path / "aside"
    token.write_text(SECRET)
    os.utime(token, (1e9, 1e9))
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        token.rename(aside)
        await asyncio.sleep(2 * LOOK + 0.1)
        assert at_home.hold("a").token is None
        aside.rename(token)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token == LentToken(SECRET)


def test_while_it_is_not_certain_that_a_look_hangs_what_was_seen_holds(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    seen, _ = check_files(NamedFiles(token, token), Attempt(), again=True)
    assert check_files(seen, Attempt({str(token): False}), again=True) == (seen, None)
    hangs, lost = check_files(seen, Attempt({str(token): True}), again=True)
    assert (len(hangs.problems), hangs.size, lost) == (2, seen.size, "")


async def test_a_line_that_names_its_token_no_more_gives_it_back(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        write_line(tmp_path)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.hold("a").token is None


async def test_a_fresh_token_does_not_start_an_ended_session_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(SECRET)
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        at_home.end("a")
        token.write_text("fresh")
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.holds() == {}
    assert "source_not_applied" not in capsys.readouterr().out


async def test_a_bad_line_elsewhere_and_a_bad_token_are_told_together(tmp_path: Path) -> None:
    write_line(tmp_path, token_file="token")
    with (tmp_path / "a.yaml").open("a") as file:
        file.write("banana: 1\n")
    async with site(tmp_path) as at_home:
        ((_, _, *problems),) = at_home.ear.heard
        assert [each.partition(":")[0] for each in problems] == [
            "banana",
            "sessions[0].token_file",
        ]


async def test_what_the_source_remembers_holds_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    write_line(tmp_path, token_file="token")
    async with site(tmp_path) as at_home:
        assert at_home.hold("a").token == LentToken(SECRET)
        assert SECRET not in repr(vars(at_home.source))
        assert SECRET not in repr(at_home.hold("a"))


async def test_lines_without_files_are_as_before(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(sessions(a=10))
    async with site(tmp_path) as at_home:
        await asyncio.sleep(2 * LOOK + 0.1)
        assert at_home.hold("a").progress == Progress(10)
        assert len(at_home.ear.taken) == 1


async def test_the_same_problems_in_another_order_are_no_news(tmp_path: Path) -> None:
    first, second = (f"{{id: {name}, token_file: missing.token}}" for name in "ab")

    def write(*lines: str) -> None:
        (tmp_path / "a.yaml").write_text(f"sessions: [{', '.join(lines)}]\n")

    write(first, second)
    async with site(tmp_path) as at_home:
        assert len(at_home.ear.problems) == 2
        told = len(at_home.ear.heard)
        # The first line is missed, and waited for until the look after this one.
        write("{id: c}", second)
        await asyncio.sleep(LOOK + 0.1)
        assert at_home.holds().keys() == {"a", "b", "c"}
        assert len(at_home.ear.heard) == told
