"""Files of a download session: asked for, prepared, sent out, and only while the session lasts."""

from __future__ import annotations

import hashlib

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.errors import ApiError, ErrorType
from keepalived.simulator.library import ContentLibrary
from keepalived.simulator.resources import Item, PrepareStatus, ServerSession, SourceType
from tests.support.simulator import Hands

UPDATE, DOWNLOAD = Kind.UPDATE, Kind.DOWNLOAD
PIECES = (b"first ", b"second ", b"third")


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def library(hands: Hands) -> ContentLibrary:
    return ContentLibrary(hands, Behaviour(session_timeout=300))


def upload(library: ContentLibrary, *pieces: bytes, item: Item | None = None) -> Item:
    """Fill an item, a new one unless it is given, with one file."""
    session = library.open_session("uploader", item=item)
    ticket = library.transfers.add(session.id, "disk", SourceType.PUSH).ticket
    put = library.transfers.begin_upload(ticket)
    for piece in pieces:
        put.write(piece)
    put.finish()
    library.sessions.complete(UPDATE, session.id)
    return library.catalog.item(session.item_id)


def open_download(library: ContentLibrary, item: Item) -> ServerSession:
    return library.open_session("reader", kind=DOWNLOAD, item=item)


def read(library: ContentLibrary, session: ServerSession) -> bytes:
    """Download the file from its beginning to its end."""
    _, chunks = library.downloads.begin(library.downloads.prepare(session.id, "disk").ticket)
    return b"".join(chunks)


def test_what_was_uploaded_is_what_is_downloaded(library: ContentLibrary) -> None:
    session = open_download(library, upload(library, *PIECES))
    (file,) = library.downloads.files(session.id)
    assert (file.name, file.content.size) == ("disk", 18)
    assert library.downloads.status(file) is PrepareStatus.UNPREPARED

    assert read(library, session) == b"".join(PIECES)
    assert read(library, session) == b"".join(PIECES)  # and once more from the beginning

    assert library.downloads.status(file) is PrepareStatus.PREPARED
    assert file.bytes_transferred == 18
    assert file.content.checksum == hashlib.sha256(b"".join(PIECES)).hexdigest()


def test_bytes_are_counted_as_they_go_out(library: ContentLibrary) -> None:
    session = open_download(library, upload(library, *PIECES))
    file = library.downloads.prepare(session.id, "disk")
    _, chunks = library.downloads.begin(file.ticket)
    assert [file.bytes_transferred for _ in chunks] == [6, 13, 18]


def test_a_session_has_the_content_of_its_beginning(library: ContentLibrary) -> None:
    item = upload(library, b"old")
    session = open_download(library, item)
    upload(library, b"new", item=item)
    assert read(library, session) == b"old"
    assert read(library, open_download(library, item)) == b"new"


def test_preparing_takes_its_time_and_is_no_activity(hands: Hands) -> None:
    library = ContentLibrary(hands, Behaviour(session_timeout=300, prepare_duration=200))
    session = open_download(library, upload(library, *PIECES))
    file = library.downloads.prepare(session.id, "disk")
    hands.time += 150
    assert library.downloads.status(file) is PrepareStatus.PREPARING
    with pytest.raises(ApiError) as error:
        library.downloads.begin(file.ticket)
    assert error.value.type is ErrorType.NOT_FOUND
    hands.time += 50
    assert library.downloads.status(file) is PrepareStatus.PREPARED
    assert session.expires_at == 1300.0


@pytest.mark.parametrize("counts", [True, False], ids=["get counts", "get does not count"])
def test_whether_bytes_extend_the_lifetime_is_a_choice(hands: Hands, counts: bool) -> None:
    library = ContentLibrary(hands, Behaviour(session_timeout=300, put_counts_as_activity=counts))
    session = open_download(library, upload(library, *PIECES))
    _, chunks = library.downloads.begin(library.downloads.prepare(session.id, "disk").ticket)
    hands.time += 200
    next(chunks)
    assert session.expires_at == (1500.0 if counts else 1300.0)


@pytest.mark.parametrize("end", ["expired", "cancelled", "deleted"])
def test_an_address_is_good_for_as_long_as_the_session(
    library: ContentLibrary, hands: Hands, end: str
) -> None:
    session = open_download(library, upload(library, *PIECES))
    ticket = library.downloads.prepare(session.id, "disk").ticket
    _, chunks = library.downloads.begin(ticket)
    next(chunks)
    if end == "expired":
        hands.time += 300
    elif end == "cancelled":
        library.sessions.cancel(DOWNLOAD, session.id)
    else:
        library.sessions.delete(DOWNLOAD, session.id)
    with pytest.raises(ApiError):
        next(chunks)
    with pytest.raises(ApiError):
        library.downloads.begin(ticket)
    assert library.downloads.session_of(ticket) == session.id


def test_a_download_does_not_lock_its_item(library: ContentLibrary) -> None:
    item = upload(library, *PIECES)
    open_download(library, item)
    open_download(library, item)
    upload(library, b"meanwhile", item=item)
    assert item.content_version == 3


def test_what_there_is_no_room_for_cannot_be_downloaded(hands: Hands) -> None:
    library = ContentLibrary(hands, content_limit=10)
    first = upload(library, b"123456")
    second = upload(library, b"12", b"3456")
    session = open_download(library, second)
    file = library.downloads.prepare(session.id, "disk")
    assert library.downloads.status(file) is PrepareStatus.ERROR
    assert (file.content.size, len(file.content.checksum)) == (6, 64)
    assert read(library, open_download(library, first)) == b"123456"


@pytest.mark.parametrize("end", ["deleted", "cancelled", "uploaded anew"])
def test_content_that_nobody_has_makes_room(hands: Hands, end: str) -> None:
    library = ContentLibrary(hands, content_limit=10)
    if end == "cancelled":
        session = library.open_session("uploader")
        ticket = library.transfers.add(session.id, "disk", SourceType.PUSH).ticket
        library.transfers.begin_upload(ticket).write(b"123456")
        library.sessions.cancel(UPDATE, session.id)
    else:
        item = upload(library, b"123456")
        if end == "deleted":
            library.delete_item(item.id)
            del item  # or it would be the test that keeps the content
        else:
            upload(library, b"12", item=item)
    assert library.transfers.store.room >= 8
    assert read(library, open_download(library, upload(library, b"1234567"))) == b"1234567"


def test_a_pulled_file_has_no_content_here(library: ContentLibrary) -> None:
    library.behaviour.pull_duration = 0
    session = library.open_session("uploader")
    uri = "https://mirror.example/debian.iso"
    library.transfers.add(session.id, "disk", SourceType.PULL, size=600, source_uri=uri)
    library.sessions.complete(UPDATE, session.id)
    download = open_download(library, library.catalog.item(session.item_id))
    file = library.downloads.prepare(download.id, "disk")
    assert library.downloads.status(file) is PrepareStatus.ERROR


@pytest.mark.parametrize(
    ("name", "endpoint", "refusal"),
    [
        ("other", "HTTPS", ErrorType.INVALID_ARGUMENT),
        ("disk", "CARRIER_PIGEON", ErrorType.INVALID_ARGUMENT),
        ("disk", "DIRECT", ErrorType.UNAUTHORIZED),
    ],
)
def test_what_cannot_be_prepared_is_refused(
    library: ContentLibrary, name: str, endpoint: str, refusal: ErrorType
) -> None:
    session = open_download(library, upload(library, *PIECES))
    with pytest.raises(ApiError) as error:
        library.downloads.prepare(session.id, name, endpoint)
    assert error.value.type is refusal
