"""Creating and deleting in either dialect, and where a token is sent with content."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.model import Kind
from keepalived.simulator.faults import Reset
from keepalived.simulator.wire import Request, Response
from keepalived.vcenter.client import Client
from keepalived.vcenter.dialects import Resource
from keepalived.vcenter.library_admin import LibraryAdmin
from tests.support.engine import NAME, LoopClock, settings_of, simulator_in_loop
from tests.support.memory_transport import MemoryUploads
from tests.support.vcenter import TIMEOUT, changed

pytestmark = pytest.mark.looptime

HOME = "http://vcenter.test"
TOKEN = "vmware-api-session-id"


class Desk:
    """A simulator, somebody who makes things on it, and what was sent for that."""

    def __init__(self, dialect: str = "api") -> None:
        self.simulator = simulator_in_loop()
        self.sent: list[Request] = []
        settings = changed(settings_of(self.simulator, HOME), dialect=dialect)
        transport = MemoryUploads(self._handle)
        self.client = Client(NAME, settings, transport, LoopClock())
        self.admin = LibraryAdmin(self.client, transport, settings, TIMEOUT)

    async def _handle(self, request: Request, chunks: AsyncIterator[bytes] | None) -> Response:
        self.sent.append(request)
        return await self.simulator.handle(request, chunks)


async def content(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def made(answer: Answer[str]) -> str:
    assert answer.value is not None, answer
    return answer.value


@pytest.mark.parametrize("dialect", ["api", "rest"])
async def test_everything_that_can_be_made(dialect: str) -> None:
    desk = Desk(dialect)
    admin, catalog = desk.admin, desk.simulator.library.catalog
    library = made(await admin.create_library("lab", "a mark", "datastore-1"))
    assert (await admin.find_libraries("lab")).value == (library,)
    assert (await admin.describe_library(library)).value == "a mark"
    item = made(await admin.create_item(library, "image", "a mark"))
    other = made(await admin.create_item(library, "other", ""))
    assert catalog.item(item).description == "a mark"
    assert (await admin.find_items(library, "image")).value == (item,)
    found = await admin.find_items(library)
    assert set(found.value or ()) == {item, other}

    session = made(await admin.create_session(item))
    assert (await admin.sessions_of(item)).value == (session,)
    assert (await admin.sessions_of(other)).value == ()
    second = await admin.create_session(item)
    assert (second.outcome, second.status, second.error_type) == (
        Outcome.FAILED,
        400,
        "resource_busy",
    )
    uri = made(await admin.add_file(session, "disk", 6))
    put = await admin.put(uri, content(b"abc", b"def"), 6)
    assert (put.outcome, put.status) == (Outcome.OK, 200)
    (file,) = (await desk.client.files(Kind.UPDATE, session, timeout=TIMEOUT)).value or ()
    assert (file.status, file.bytes_transferred) == ("READY", 6)

    busy = await admin.delete(Resource.UPDATE_SESSION, session)
    assert busy.outcome is Outcome.NOT_ALLOWED
    await desk.client.cancel(Kind.UPDATE, session, timeout=TIMEOUT)
    for resource, each in (
        (Resource.UPDATE_SESSION, session),
        (Resource.ITEM, item),
        (Resource.LOCAL_LIBRARY, library),
    ):
        assert (await admin.delete(resource, each)).outcome is Outcome.OK
    gone = await admin.delete(Resource.ITEM, item)
    assert gone.outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize(
    ("origin", "goes_with_it"),
    [
        (HOME, True),
        (f"{HOME}:80", True),
        (f"{HOME}:8080", False),
        ("https://vcenter.test", False),
        ("http://esx1.test", False),
    ],
)
async def test_a_token_goes_nowhere_but_home(origin: str, *, goes_with_it: bool) -> None:
    desk = Desk()
    session = desk.simulator.open_session()
    uri = made(await desk.admin.add_file(session, "disk", 3))
    path = uri.partition("://")[2].partition("/")[2]
    put = await desk.admin.put(f"{origin}/{path}", content(b"abc"), 3)
    assert put.outcome is Outcome.OK
    assert (TOKEN in desk.sent[-1].headers) is goes_with_it


@pytest.mark.parametrize("uri", ["ftp://vcenter.test/x", "/cls/data/x", "http://[", "http://a:0/"])
async def test_content_is_put_to_no_other_kind_of_address(uri: str) -> None:
    desk = Desk()
    put = await desk.admin.put(uri, content(b"abc"), 3)
    assert (put.outcome, put.detail) == (Outcome.FAILED, "the upload address is not a valid URL")
    assert desk.sent == []


async def test_what_becomes_of_content_that_is_not_taken() -> None:
    desk = Desk()
    session = desk.simulator.open_session()
    uri = made(await desk.admin.add_file(session, "disk", 6))
    short = await desk.admin.put(uri, content(b"abc"), 6)
    assert (short.outcome, short.error_type) == (Outcome.INVALID_ARGUMENT, "invalid_argument")
    desk.simulator.faults.add(Reset(), route="upload")
    cut = await desk.admin.put(uri, content(b"abcdef"), 6)
    assert cut.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("bad", ["../../session", "", "a/b", 7.5])
async def test_an_id_that_leads_elsewhere_is_refused(bad: object) -> None:
    desk = Desk()

    async def handle(request: Request, chunks: AsyncIterator[bytes] | None) -> Response:
        if request.method == "POST" and request.target.endswith("/item"):
            return Response(201, {}, json.dumps(bad).encode())
        return await desk.simulator.handle(request, chunks)

    settings = settings_of(desk.simulator, HOME)
    transport = MemoryUploads(handle)
    admin = LibraryAdmin(
        Client(NAME, settings, transport, LoopClock()), transport, settings, TIMEOUT
    )
    answer = await admin.create_item("library", "image", "")
    assert (answer.outcome, answer.value) == (Outcome.FAILED, None)
