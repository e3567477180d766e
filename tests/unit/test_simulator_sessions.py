"""The rules of update and download sessions: states, progress, expiry, one per item."""

from __future__ import annotations

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.errors import ApiError, ErrorType
from keepalived.simulator.ledger import Ledger
from keepalived.simulator.library import ContentLibrary
from keepalived.simulator.resources import SessionEvent, SessionState, SourceType
from tests.support.simulator import Hands

USER = "uploader"
UPDATE, DOWNLOAD = Kind.UPDATE, Kind.DOWNLOAD


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def library(hands: Hands, ledger: Ledger) -> ContentLibrary:
    return ContentLibrary(hands, Behaviour(session_timeout=300, pull_duration=60), chronicle=ledger)


def refusal(error: pytest.ExceptionInfo[ApiError]) -> ErrorType:
    return error.value.type


def happened(ledger: Ledger, session_id: str) -> list[tuple[float, SessionEvent]]:
    return [(event.time, event.event) for event in ledger.events_of(session_id)]


def test_a_session_without_activity_expires_and_is_gone(
    library: ContentLibrary, hands: Hands, ledger: Ledger
) -> None:
    session = library.open_session(USER)
    hands.time += 299.9
    assert library.sessions.get(UPDATE, session.id).state is SessionState.ACTIVE
    hands.time += 0.1
    with pytest.raises(ApiError) as error:
        library.sessions.get(UPDATE, session.id)
    assert refusal(error) is ErrorType.NOT_FOUND
    assert happened(ledger, session.id) == [
        (1000.0, SessionEvent.CREATED),
        (1300.0, SessionEvent.EXPIRED),
    ]


def test_expiry_bears_the_time_at_which_it_was_due_not_when_it_was_noticed(
    library: ContentLibrary, hands: Hands, ledger: Ledger
) -> None:
    session = library.open_session(USER)
    hands.time += 86400
    library.settle()
    assert happened(ledger, session.id)[-1] == (1300.0, SessionEvent.EXPIRED)
    assert ledger.longest_gap(session.id) == 300


def test_keeping_alive_extends_the_lifetime_and_looking_does_not(
    library: ContentLibrary, hands: Hands
) -> None:
    session = library.open_session(USER)
    hands.time += 200
    library.sessions.keep_alive(UPDATE, session.id, None)
    hands.time += 200
    library.sessions.get(UPDATE, session.id)
    library.sessions.created_by(UPDATE, USER)
    library.transfers.files(session.id)
    hands.time += 100
    with pytest.raises(ApiError):
        library.sessions.keep_alive(UPDATE, session.id, None)


def test_a_changed_timeout_holds_from_the_next_activity_on(
    library: ContentLibrary, hands: Hands
) -> None:
    session = library.open_session(USER)
    library.behaviour.session_timeout = 30
    hands.time += 100
    library.sessions.keep_alive(UPDATE, session.id, None)
    assert session.expires_at == session.announced_expiry == hands.time + 30


@pytest.mark.parametrize(("announced", "told"), [(True, 20), (False, 300)])
def test_a_shortened_lifetime_is_told_or_not(
    library: ContentLibrary, hands: Hands, announced: bool, told: float
) -> None:
    session = library.open_session(USER)
    with library.sessions.shortened(20, announced=announced):
        library.sessions.keep_alive(UPDATE, session.id, None)
    assert session.announced_expiry == hands.time + told
    assert session.expires_at == hands.time + 20
    library.sessions.keep_alive(UPDATE, session.id, None)
    assert session.expires_at == session.announced_expiry == hands.time + 300


@pytest.mark.parametrize("progress", [-1, 101])
def test_progress_is_from_0_to_100(library: ContentLibrary, progress: int) -> None:
    session = library.open_session(USER)
    with pytest.raises(ApiError) as error:
        library.sessions.keep_alive(UPDATE, session.id, progress)
    assert refusal(error) is ErrorType.INVALID_ARGUMENT


def test_progress_rises_or_is_refused_without_extending_the_lifetime(
    library: ContentLibrary, hands: Hands
) -> None:
    session = library.open_session(USER)
    library.sessions.keep_alive(UPDATE, session.id, 0)
    library.sessions.keep_alive(UPDATE, session.id, 50)
    hands.time += 10
    for progress in (50, 49, 0):
        with pytest.raises(ApiError) as error:
            library.sessions.keep_alive(UPDATE, session.id, progress)
        assert refusal(error) is ErrorType.INVALID_ARGUMENT
    assert (session.client_progress, session.expires_at) == (50, 1300.0)
    library.sessions.keep_alive(UPDATE, session.id, None)
    assert (session.client_progress, session.expires_at) == (50, 1310.0)


def test_one_active_update_session_per_item(library: ContentLibrary, hands: Hands) -> None:
    item = library.catalog.create_item(library.catalog.create_library("l").id, "i")
    first = library.open_session(USER, item=item)
    with pytest.raises(ApiError) as error:
        library.open_session(USER, item=item)
    assert refusal(error) is ErrorType.RESOURCE_BUSY
    library.open_session(USER, item=item, kind=DOWNLOAD)

    library.sessions.cancel(UPDATE, first.id)
    second = library.open_session(USER, item=item)
    hands.time = second.expires_at
    third = library.open_session(USER, item=item)
    library.sessions.complete(UPDATE, third.id)
    library.open_session(USER, item=item)


@pytest.mark.parametrize("end", ["cancel", "fail", "complete"])
def test_an_ended_session_takes_nothing_any_more(library: ContentLibrary, end: str) -> None:
    session = library.open_session(USER)
    if end == "fail":
        library.sessions.fail(UPDATE, session.id, "no such file")
    else:
        getattr(library.sessions, end)(UPDATE, session.id)
    attempts = (
        lambda: library.sessions.keep_alive(UPDATE, session.id, None),
        lambda: library.sessions.cancel(UPDATE, session.id),
        lambda: library.sessions.complete(UPDATE, session.id),
        lambda: library.sessions.fail(UPDATE, session.id, "late"),
        lambda: library.transfers.add(session.id, "f", SourceType.PUSH),
        lambda: library.transfers.validate(session.id),
    )
    for attempt in attempts:
        with pytest.raises(ApiError) as error:
            attempt()
        assert refusal(error) is ErrorType.NOT_ALLOWED_IN_CURRENT_STATE


def test_an_ended_session_stays_until_it_is_deleted(
    library: ContentLibrary, hands: Hands, ledger: Ledger
) -> None:
    session = library.open_session(USER)
    library.sessions.fail(UPDATE, session.id, "no such file")
    hands.time += 3600
    assert library.sessions.get(UPDATE, session.id).error == "no such file"
    library.sessions.delete(UPDATE, session.id)
    with pytest.raises(ApiError):
        library.sessions.get(UPDATE, session.id)
    assert [event for _, event in happened(ledger, session.id)] == [
        SessionEvent.CREATED,
        SessionEvent.FAILED,
        SessionEvent.DELETED,
    ]


def test_only_a_download_session_is_deleted_while_active(library: ContentLibrary) -> None:
    update = library.open_session(USER)
    with pytest.raises(ApiError) as error:
        library.sessions.delete(UPDATE, update.id)
    assert refusal(error) is ErrorType.NOT_ALLOWED_IN_CURRENT_STATE
    download = library.open_session(USER, kind=DOWNLOAD)
    library.sessions.delete(DOWNLOAD, download.id)


def test_the_kinds_do_not_know_each_others_ids(library: ContentLibrary) -> None:
    session = library.open_session(USER)
    with pytest.raises(ApiError) as error:
        library.sessions.keep_alive(DOWNLOAD, session.id, None)
    assert refusal(error) is ErrorType.NOT_FOUND


def test_the_list_shows_the_callers_own_sessions(library: ContentLibrary, hands: Hands) -> None:
    lost = library.open_session(USER)
    hands.time += 300
    mine = library.open_session(USER)
    library.open_session("somebody else")
    assert library.sessions.created_by(UPDATE, USER) == [mine]
    assert library.sessions.created_by(UPDATE, USER, mine.item_id) == [mine]
    assert library.sessions.created_by(UPDATE, USER, lost.item_id) == []
    with pytest.raises(ApiError):
        library.sessions.created_by(UPDATE, USER, "no such item")


def test_completing_moves_the_items_version_and_cancelling_does_not(
    library: ContentLibrary,
) -> None:
    session = library.open_session(USER)
    item = library.catalog.item(session.item_id)
    assert (item.content_version, session.content_version) == (1, 1)
    library.sessions.complete(UPDATE, session.id)
    assert (item.content_version, session.content_version) == (2, 1)
    again = library.open_session(USER, item=item)
    assert again.content_version == 2
    library.sessions.cancel(UPDATE, again.id)
    assert item.content_version == 2


def test_a_deleted_item_takes_its_sessions_along(library: ContentLibrary, ledger: Ledger) -> None:
    session = library.open_session(USER)
    item = library.catalog.item(session.item_id)
    library.delete_item(item.id)
    with pytest.raises(ApiError):
        library.sessions.get(UPDATE, session.id)
    other = library.open_session(USER)
    library.delete_library(library.catalog.item(other.item_id).library_id)
    assert happened(ledger, other.id)[-1] == (1000.0, SessionEvent.DELETED)
    with pytest.raises(ApiError):
        library.catalog.item(other.item_id)


def test_names_are_found_whatever_their_case(library: ContentLibrary) -> None:
    wanted = library.catalog.create_library("Templates")
    library.catalog.create_library("iso")
    assert library.catalog.libraries("templates") == [wanted]
    item = library.catalog.create_item(wanted.id, "Debian")
    assert library.catalog.items(wanted.id, "debian") == [item]
    assert library.catalog.items(wanted.id, "Fedora") == []
    with pytest.raises(ApiError):
        library.catalog.create_library("")
    with pytest.raises(ApiError):
        library.catalog.create_item(wanted.id, "")
    with pytest.raises(ApiError):
        library.catalog.create_item("no such library", "Debian")
