"""`probe` puts away what it made, whatever happens at whichever step, and touches nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from keepalived.lease.model import Kind
from keepalived.probe.report import Report
from keepalived.probe.scratch import PREFIX
from keepalived.simulator.faults import Effect, Fail, Hang, Refuse, Reset
from keepalived.simulator.routes import resolve
from keepalived.simulator.wire import Request, Response
from tests.support.probe import Handle, Stand

pytestmark = pytest.mark.looptime(end=3600)

LIFETIME, LIMIT = 2.0, 20.0
LIBRARY, DATASTORE = "made for the probe", "datastore-11"

# What a whole run asks for, and how often at least.
STEPS = {
    "session.create": 1,
    "library.find": 1,
    "local_library.create": 1,
    "item.create": 6,
    "update_session.create": 7,
    "update_session.get": 6,
    "update_session.list": 4,
    "update_session.keep_alive": 4,
    "update_session_file.add": 2,
    "upload": 2,
    "update_session_file.list": 2,
    "update_session.cancel": 6,
    "update_session.delete": 6,
    "item.delete": 6,
    "item.find": 1,
    "local_library.delete": 1,
    "session.delete": 1,
}
FIRST_AND_LAST = [
    (route, nth) for route, times in STEPS.items() for nth in dict.fromkeys((1, times))
]


def at(stand: Stand, route: str, nth: int, act: Callable[[], object], *, after: bool) -> Handle:
    """Return a way to the simulator on which something happens at the nth request of a route."""
    seen = 0

    async def handle(request: Request, chunks: AsyncIterator[bytes] | None) -> Response:
        nonlocal seen
        match = resolve(request.method, request.target)
        is_such = match is not None and match.operation.name == route
        seen += is_such
        is_it = is_such and seen == nth
        if is_it and not after:
            act()
        response = await stand.simulator.handle(request, chunks)
        if is_it and after:
            act()
        return response

    return handle


async def test_these_are_the_steps_of_a_whole_run() -> None:
    stand = Stand(session_timeout=LIFETIME)
    report = await stand.probe(library=LIBRARY, datastore=DATASTORE, limit=LIMIT).run()
    assert report.is_whole
    routes = [entry.route for entry in stand.simulator.ledger.requests()]
    assert set(routes) == set(STEPS)
    for route, times in STEPS.items():
        assert routes.count(route) >= times, route
    assert routes[-1] == "session.delete"
    stand.bystanders.check_all_is_as_it_was()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("route", "nth"), FIRST_AND_LAST)
async def test_an_interruption_at_any_step(route: str, nth: int, *, after: bool) -> None:
    stand = Stand(session_timeout=LIFETIME)
    handle = at(stand, route, nth, lambda: task.cancel(), after=after)
    probe = stand.probe(handle, library=LIBRARY, datastore=DATASTORE, limit=LIMIT)
    task = asyncio.create_task(probe.run())
    report = await task
    assert report.is_interrupted
    assert report.left == ()
    stand.bystanders.check_all_is_as_it_was()
    login, logout = (stand.simulator.ledger.requests(f"session.{x}") for x in ("create", "delete"))
    assert len(login) == len(logout) or (route, after) == ("session.create", False)


@pytest.mark.parametrize(
    "effect",
    [Fail(503), Reset(act_first=True), Hang(act_first=True)],
    ids=["fails", "lost answer", "no answer"],
)
@pytest.mark.parametrize("route", STEPS)
async def test_a_request_that_fails_at_any_step(route: str, effect: Effect) -> None:
    stand = Stand(session_timeout=LIFETIME)
    stand.simulator.faults.add(effect, route=route, count=1)
    report = await stand.probe(library=LIBRARY, datastore=DATASTORE, limit=LIMIT).run()
    assert report.left == ()
    stand.bystanders.check_all_is_as_it_was()
    assert_it_says_so(report)


def assert_it_says_so(report: Report) -> None:
    """Fail if anything has no answer without its being said that something went wrong."""
    unknown = [each for each in report.findings if each.verdict == "not measured"]
    assert not unknown or not report.is_whole


async def test_what_is_being_made_when_somebody_interrupts_is_waited_for() -> None:
    stand = Stand(session_timeout=LIFETIME)
    works: set[asyncio.Task[Response]] = set()

    async def slow(request: Request, chunks: AsyncIterator[bytes] | None) -> Response:
        """Make items at leisure, whether somebody waits for it or not."""
        if not request.target.endswith("/library/item"):
            return await stand.simulator.handle(request, chunks)
        works.add(work := asyncio.create_task(_later(stand, request)))
        return await asyncio.shield(work)

    task = asyncio.create_task(stand.probe(slow).run())
    asyncio.get_running_loop().call_later(1.0, task.cancel)
    report = await task
    await asyncio.gather(*works)
    assert (report.is_interrupted, report.left) == (True, ())
    stand.bystanders.check_all_is_as_it_was()


async def _later(stand: Stand, request: Request) -> Response:
    spec = json.loads(request.body)
    await asyncio.sleep(10)  # Who asks was looked at before.
    item = stand.simulator.library.catalog.create_item(spec["library_id"], spec["name"])
    return Response(201, {}, json.dumps(item.id).encode())


async def test_sessions_whose_ids_were_lost_are_ended_before_their_item_is_deleted() -> None:
    stand = Stand(session_timeout=300.0)
    stand.simulator.faults.add(Reset(act_first=True), route="update_session.create", count=1)

    async def strict(request: Request, chunks: AsyncIterator[bytes] | None) -> Response:
        """Delete no item that has an update session."""
        item_id = request.target.rpartition("/")[2]
        sessions = stand.simulator.library.sessions.all(Kind.UPDATE)
        if request.method == "DELETE" and any(each.item_id == item_id for each in sessions):
            return Response(400, {}, b"{}")
        return await stand.simulator.handle(request, chunks)

    report = await stand.probe(strict).run()
    assert "cannot open an update session" in report.failure
    assert report.left == ()
    stand.bystanders.check_all_is_as_it_was()


@pytest.mark.parametrize("route", ["item.create", "update_session.create", "library.find"])
async def test_what_always_fails_at_the_beginning_is_the_end(route: str) -> None:
    stand = Stand(session_timeout=LIFETIME)
    stand.simulator.faults.add(Fail(403), route=route)
    report = await stand.probe().run()
    assert "HTTP 403" in report.failure
    assert report.took < 1
    stand.bystanders.check_all_is_as_it_was()


async def test_what_cannot_be_removed_is_named() -> None:
    stand = Stand(session_timeout=LIFETIME)
    stand.simulator.faults.add(Fail(500), route="item.delete")
    report = await stand.probe(library=LIBRARY, datastore=DATASTORE, limit=LIMIT).run()
    assert [each.what for each in report.left] == ["item"] * 6 + ["library"]
    items = {each.id: each.name for each in stand.simulator.library.catalog.items()}
    for each in report.left[:-1]:
        assert items[each.id] == each.name
        assert each.name.startswith(PREFIX)


async def test_a_vcenter_that_goes_away_for_good_ends_the_putting_away_in_time() -> None:
    stand = Stand(session_timeout=LIFETIME)
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, stand.simulator.faults.add, Refuse())
    report = await stand.probe().run()
    assert len(report.left) == 6
    assert report.took < 180


async def test_a_vcenter_that_restarts_meanwhile_is_waited_for() -> None:
    stand = Stand(session_timeout=LIFETIME)
    loop = asyncio.get_running_loop()
    loop.call_later(2.5, lambda: stand.simulator.restart(lose_tokens=True, down_seconds=5.0))
    report = await stand.probe().run()
    assert report.left == ()
    stand.bystanders.check_all_is_as_it_was()


async def test_a_library_is_kept_that_somebody_has_put_something_into() -> None:
    stand = Stand(session_timeout=LIFETIME)
    catalog = stand.simulator.library.catalog

    def use_it() -> None:
        (made,) = catalog.libraries(LIBRARY)
        catalog.create_item(made.id, "precious")

    handle = at(stand, "upload", 1, use_it, after=False)
    report = await stand.probe(handle, library=LIBRARY, datastore=DATASTORE, limit=LIMIT).run()
    assert [(each.what, each.name) for each in report.left] == [("library", LIBRARY)]
    assert [item.name for item in catalog.items(catalog.libraries(LIBRARY)[0].id)] == ["precious"]


async def test_a_library_of_somebody_elses_is_not_taken_for_the_one_that_was_made() -> None:
    stand = Stand(session_timeout=LIFETIME)
    catalog = stand.simulator.library.catalog
    stand.simulator.faults.add(Reset(), route="local_library.create")
    handle = at(
        stand, "local_library.create", 1, lambda: catalog.create_library(LIBRARY), after=False
    )
    report = await stand.probe(handle, library=LIBRARY, datastore=DATASTORE, limit=LIMIT).run()
    assert report.failure
    assert report.left == ()
    assert len(catalog.libraries(LIBRARY)) == 1


@pytest.mark.parametrize(
    ("library", "datastore", "words"),
    [
        ("nowhere", None, "no library named 'nowhere'; create one, or give --datastore"),
        ("scratch", "datastore-11", "the library 'scratch' already exists"),
    ],
)
async def test_the_library_has_to_be_what_was_said(
    library: str, datastore: str | None, words: str
) -> None:
    stand = Stand()
    report = await stand.probe(library=library, datastore=datastore).run()
    assert words in report.failure
    stand.bystanders.check_all_is_as_it_was()


async def test_two_libraries_of_a_name_are_one_too_many() -> None:
    stand = Stand()
    stand.simulator.library.catalog.create_library("Scratch")
    report = await stand.probe().run()
    assert "2 libraries are named 'scratch'" in report.failure
