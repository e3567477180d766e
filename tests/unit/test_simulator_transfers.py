"""Files of a session: pushed, pulled, and what they mean for its lifetime and its end."""

from __future__ import annotations

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.behaviour import Behaviour
from keepalived.simulator.errors import ApiError, ErrorType
from keepalived.simulator.library import ContentLibrary
from keepalived.simulator.resources import ServerSession, SessionState, SourceType, TransferStatus
from tests.support.simulator import Hands

UPDATE = Kind.UPDATE


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture(params=[True, False], ids=["put counts", "put does not count"])
def put_counts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def library(hands: Hands, put_counts: bool) -> ContentLibrary:
    how = Behaviour(session_timeout=300, pull_duration=60, put_counts_as_activity=put_counts)
    return ContentLibrary(hands, how)


def add(
    library: ContentLibrary, session_id: str, name: str = "disk", size: int | None = None
) -> str:
    return library.transfers.add(session_id, name, SourceType.PUSH, size=size).ticket


def sizes(library: ContentLibrary, item_id: str) -> dict[str, int]:
    """Return the sizes of the files that arrived, by name."""
    return {name: content.size for name, content in library.catalog.item(item_id).files.items()}


def test_an_upload_fills_its_file(library: ContentLibrary) -> None:
    session = library.open_session("uploader")
    upload = library.transfers.begin_upload(add(library, session.id, size=30))
    (file,) = library.transfers.files(session.id)
    upload.write(b"x" * 10)
    assert (file.status, file.bytes_transferred) == (TransferStatus.TRANSFERRING, 10)
    upload.write(b"x" * 20)
    upload.finish()
    upload.interrupt()  # means nothing after the end
    assert (file.status, file.bytes_transferred) == (TransferStatus.READY, 30)
    library.sessions.complete(UPDATE, session.id)
    assert sizes(library, session.item_id) == {"disk": 30}


def test_whether_bytes_extend_the_lifetime_is_a_choice(
    library: ContentLibrary, hands: Hands, put_counts: bool
) -> None:
    session = library.open_session("uploader")
    upload = library.transfers.begin_upload(add(library, session.id))
    hands.time += 200
    upload.write(b"x")
    assert session.expires_at == (1500.0 if put_counts else 1300.0)
    hands.time += 200
    if put_counts:
        upload.finish()
        return
    with pytest.raises(ApiError) as error:
        upload.write(b"x")
    assert error.value.type is ErrorType.NOT_FOUND


def test_a_stalled_upload_does_not_keep_its_session(library: ContentLibrary, hands: Hands) -> None:
    session = library.open_session("uploader")
    upload = library.transfers.begin_upload(add(library, session.id))
    upload.write(b"x")
    hands.time += 300
    with pytest.raises(ApiError):
        upload.finish()
    with pytest.raises(ApiError):
        library.sessions.get(UPDATE, session.id)


def test_a_session_completes_only_with_every_pushed_file(library: ContentLibrary) -> None:
    session = library.open_session("uploader")
    ticket = add(library, session.id)
    for _ in range(2):
        with pytest.raises(ApiError) as error:
            library.sessions.complete(UPDATE, session.id)
        assert error.value.type is ErrorType.NOT_ALLOWED_IN_CURRENT_STATE
        library.transfers.begin_upload(ticket).interrupt()
    library.transfers.begin_upload(ticket).finish()
    library.sessions.complete(UPDATE, session.id)
    assert session.state is SessionState.DONE


def test_a_body_of_another_size_than_announced_is_an_error(library: ContentLibrary) -> None:
    session = library.open_session("uploader")
    upload = library.transfers.begin_upload(add(library, session.id, size=10))
    upload.write(b"too short")
    with pytest.raises(ApiError) as error:
        upload.finish()
    assert error.value.type is ErrorType.INVALID_ARGUMENT
    assert library.transfers.validate(session.id) == library.transfers.files(session.id)
    assert library.transfers.file(session.id, "disk").error == "9 bytes arrived of 10."


def test_one_upload_of_a_file_at_a_time(library: ContentLibrary) -> None:
    session = library.open_session("uploader")
    ticket = add(library, session.id)
    library.transfers.begin_upload(ticket)
    with pytest.raises(ApiError) as error:
        library.transfers.begin_upload(ticket)
    assert error.value.type is ErrorType.RESOURCE_BUSY


def test_announcing_a_file_anew_gives_it_another_address(library: ContentLibrary) -> None:
    session = library.open_session("uploader")
    old = add(library, session.id)
    new = add(library, session.id)
    assert library.transfers.session_of(new) == session.id
    assert library.transfers.session_of(old) is None
    with pytest.raises(ApiError) as error:
        library.transfers.begin_upload(old)
    assert error.value.type is ErrorType.NOT_FOUND
    library.transfers.remove(session.id, "disk")
    assert library.transfers.session_of(new) is None
    assert library.transfers.files(session.id) == []


def test_adding_and_removing_files_is_activity(library: ContentLibrary, hands: Hands) -> None:
    session = library.open_session("uploader")
    for expected in (1200.0, 1300.0, 1400.0):
        hands.time = expected - 100
        if expected == 1200.0:
            add(library, session.id)
        elif expected == 1300.0:
            library.transfers.validate(session.id)
        else:
            library.transfers.remove(session.id, "disk")
        assert session.expires_at == hands.time + 300


def test_a_completed_session_stays_active_until_its_pulls_are_done(
    library: ContentLibrary, hands: Hands
) -> None:
    session = library.open_session("uploader")
    uri = "https://mirror.example/debian.iso"
    file = library.transfers.add(session.id, "iso", SourceType.PULL, size=600, source_uri=uri)
    hands.time += 15
    library.sessions.complete(UPDATE, session.id)
    progress = library.transfers.progress(session.id, file)
    assert (progress.status, progress.bytes_transferred) == (TransferStatus.TRANSFERRING, 150)
    assert library.sessions.get(UPDATE, session.id).state is SessionState.ACTIVE
    library.sessions.keep_alive(UPDATE, session.id, None)
    hands.time += 45
    assert library.sessions.get(UPDATE, session.id).state is SessionState.DONE
    assert library.transfers.progress(session.id, file).status is TransferStatus.READY
    assert sizes(library, session.item_id) == {"iso": 600}


def assert_expired(library: ContentLibrary, session: ServerSession) -> None:
    """Find that a session is gone, and that nothing has arrived."""
    with pytest.raises(ApiError) as error:
        library.sessions.get(UPDATE, session.id)
    assert error.value.type is ErrorType.NOT_FOUND
    assert library.catalog.item(session.item_id).content_version == 1


def test_the_servers_own_pulling_is_no_activity(library: ContentLibrary, hands: Hands) -> None:
    library.behaviour.pull_duration = 400
    session = library.open_session("uploader")
    library.transfers.add(session.id, "iso", SourceType.PULL, source_uri="https://mirror.example/")
    library.sessions.complete(UPDATE, session.id)
    hands.time += 300
    assert_expired(library, session)


@pytest.mark.parametrize(
    ("name", "source_type", "size"),
    [
        ("", SourceType.PUSH, None),
        ("../disk", SourceType.PUSH, None),
        ("disk", SourceType.PUSH, -1),
        ("disk", SourceType.PULL, None),
    ],
)
def test_files_that_make_no_sense_are_refused(
    library: ContentLibrary, name: str, source_type: SourceType, size: int | None
) -> None:
    session = library.open_session("uploader")
    with pytest.raises(ApiError) as error:
        library.transfers.add(session.id, name, source_type, size=size)
    assert error.value.type is ErrorType.INVALID_ARGUMENT
    with pytest.raises(ApiError) as error:
        library.transfers.file(session.id, name)
    assert error.value.type is ErrorType.INVALID_ARGUMENT


def test_completed_files_are_validated_before_the_content_has_arrived(hands: Hands) -> None:
    library = ContentLibrary(hands, Behaviour(session_timeout=300, validation_duration=200))
    session = library.open_session("uploader")
    upload = library.transfers.begin_upload(add(library, session.id))
    upload.write(b"whole")
    upload.finish()
    (file,) = library.transfers.files(session.id)

    library.sessions.complete(UPDATE, session.id)
    hands.time += 150
    library.sessions.complete(UPDATE, session.id)  # does not start it over

    assert library.sessions.get(UPDATE, session.id).state is SessionState.ACTIVE
    progress = library.transfers.progress(session.id, file)
    assert (progress.status, progress.bytes_transferred) == (TransferStatus.VALIDATING, 5)
    assert sizes(library, session.item_id) == {}
    hands.time += 50
    assert library.sessions.get(UPDATE, session.id).state is SessionState.DONE
    assert library.transfers.progress(session.id, file).status is TransferStatus.READY
    assert sizes(library, session.item_id) == {"disk": 5}


def test_validating_is_no_activity(hands: Hands) -> None:
    library = ContentLibrary(hands, Behaviour(session_timeout=300, validation_duration=400))
    session = library.open_session("uploader")
    library.sessions.complete(UPDATE, session.id)
    hands.time += 300
    assert_expired(library, session)


def test_a_pull_is_validated_when_it_is_done(hands: Hands) -> None:
    library = ContentLibrary(
        hands, Behaviour(session_timeout=300, pull_duration=60, validation_duration=30)
    )
    session = library.open_session("uploader")
    uri = "https://mirror.example/debian.iso"
    file = library.transfers.add(session.id, "iso", SourceType.PULL, size=600, source_uri=uri)
    library.sessions.complete(UPDATE, session.id)
    seen = []
    for _ in range(4):
        library.settle()
        seen.append((library.transfers.progress(session.id, file).status, session.state))
        hands.time += 30
    assert [status.value for status, _ in seen] == [
        *("TRANSFERRING", "TRANSFERRING", "VALIDATING", "READY")
    ]
    assert [state.value for _, state in seen] == ["ACTIVE", "ACTIVE", "ACTIVE", "DONE"]


@pytest.mark.parametrize("told", [True, False])
def test_whether_bytes_are_told_during_a_put_is_a_choice(hands: Hands, told: bool) -> None:
    library = ContentLibrary(hands, Behaviour(bytes_during_put=told))
    session = library.open_session("uploader")
    upload = library.transfers.begin_upload(add(library, session.id))
    (file,) = library.transfers.files(session.id)
    upload.write(b"half")
    during = library.transfers.progress(session.id, file)
    upload.write(b"half")
    upload.finish()
    after = library.transfers.progress(session.id, file)
    assert (during.status, during.bytes_transferred) == ("TRANSFERRING", 4 if told else 0)
    assert (after.status, after.bytes_transferred) == ("READY", 8)
