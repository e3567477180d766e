"""VMware's own Python SDK, unchanged, as a client of the simulator.

It speaks JSON-RPC unless told otherwise; its REST connector sends the `api` form, but reads answers
only where they are empty.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from keepalived.simulator.app import Simulator
from tests.integration.simulator_support import write_certificate
from tests.support.held import Lab, lab

# The SDK's import reads its resources in a way that Python has deprecated.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from com.vmware.content.library.item.updatesession_client import File
    from com.vmware.content.library.item_client import (
        DownloadSession,
        DownloadSessionModel,
        TransferEndpoint,
        UpdateSession,
        UpdateSessionModel,
    )
    from com.vmware.content.library_client import Item, ItemModel, StorageBacking
    from com.vmware.content_client import Library, LibraryModel
    from com.vmware.vapi.std.errors_client import (
        InvalidArgument,
        NotAllowedInCurrentState,
        NotFound,
        ResourceBusy,
        Unauthenticated,
    )
    from vmware.vapi.lib.connect import get_requests_connector
    from vmware.vapi.security.session import create_session_security_context
    from vmware.vapi.stdlib.client.factories import StubConfigurationFactory
    from vmware.vapi.vsphere.client import create_vsphere_client

# Its client builds stubs of everything, deprecated or not.
pytestmark = pytest.mark.filterwarnings("ignore:com.vmware:DeprecationWarning")

UNKNOWN = "00000000-0000-4000-8000-000000000000:00000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def vcenter(certificate: Path) -> Iterator[Lab]:
    """A simulator served by https, in a thread since the SDK is synchronous."""
    with lab(certificate, session_timeout=60, pull_duration=0.05) as vcenter:
        yield vcenter


@pytest.fixture
def simulator(vcenter: Lab) -> Simulator:
    return vcenter.simulator


@pytest.fixture
def server(vcenter: Lab) -> str:
    """HOST:PORT of that simulator."""
    return vcenter.url.removeprefix("https://")


@pytest.fixture
def http(certificate: Path) -> Iterator[requests.Session]:
    with requests.Session() as session:
        # Or else a bundle that the environment names goes before the one given here.
        session.trust_env = False
        session.verify = str(certificate)
        yield session


@pytest.fixture
def client(simulator: Simulator, server: str, http: requests.Session) -> Iterator[Any]:
    """Yield the SDK's own client, logged in."""
    client = create_vsphere_client(server, simulator.username, simulator.password, session=http)
    yield client
    client.session_svc.delete()


def make_item(client: Any) -> str:
    backing = StorageBacking(type=StorageBacking.Type.DATASTORE, datastore_id="datastore-10")
    library = client.content.LocalLibrary.create(
        LibraryModel(
            name="templates", type=LibraryModel.LibraryType.LOCAL, storage_backings=[backing]
        )
    )
    spec = ItemModel(name="debian-12", library_id=library, type="ovf")
    item: str = client.content.library.Item.create(spec)
    return item


def make_session(client: Any, item: str) -> str:
    spec = UpdateSessionModel(library_item_id=item)
    session: str = client.content.library.item.UpdateSession.create(spec)
    return session


def test_the_life_of_a_session(client: Any, simulator: Simulator) -> None:
    sessions = client.content.library.item.UpdateSession
    session_id = make_session(client, make_item(client))

    sessions.keep_alive(session_id, client_progress=10)
    sessions.keep_alive(session_id)
    sessions.keep_alive(session_id, client_progress=25)

    session = sessions.get(session_id)
    assert session.id == session_id
    assert session.state == UpdateSessionModel.State.ACTIVE
    assert session.client_progress == 25
    assert session.library_item_content_version == "1"
    left = session.expiration_time - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert 55 < left.total_seconds() <= 60
    assert sessions.list() == [session_id]

    sent = simulator.ledger.requests("update_session.keep_alive", session_id=session_id)
    assert [entry.client_progress for entry in sent] == [10, None, 25]
    assert {entry.dialect for entry in sent} == {"json-rpc"}


def test_an_unknown_id_is_not_found(client: Any) -> None:
    sessions = client.content.library.item.UpdateSession
    for call in (sessions.get, sessions.keep_alive, sessions.cancel, sessions.delete):
        with pytest.raises(NotFound) as refused:
            call(UNKNOWN)
        assert UNKNOWN in refused.value.messages[0].default_message


def test_a_cancelled_session_is_kept_alive_no_longer(client: Any) -> None:
    sessions = client.content.library.item.UpdateSession
    session_id = make_session(client, make_item(client))
    with pytest.raises(NotAllowedInCurrentState):
        sessions.delete(session_id)

    sessions.cancel(session_id)

    assert sessions.get(session_id).state == UpdateSessionModel.State.CANCELED
    with pytest.raises(NotAllowedInCurrentState) as refused:
        sessions.keep_alive(session_id, client_progress=50)
    assert "CANCELED" in refused.value.messages[0].default_message
    sessions.delete(session_id)
    with pytest.raises(NotFound):
        sessions.get(session_id)


def test_a_failed_session_tells_why(client: Any) -> None:
    sessions = client.content.library.item.UpdateSession
    session_id = make_session(client, make_item(client))
    sessions.fail(session_id, client_error_message="the disk went away")
    session = sessions.get(session_id)
    assert session.state == UpdateSessionModel.State.ERROR
    assert session.error_message.default_message == "the disk went away"


def test_progress_has_to_rise(client: Any) -> None:
    sessions = client.content.library.item.UpdateSession
    session_id = make_session(client, make_item(client))
    sessions.keep_alive(session_id, client_progress=10)
    for progress in (10, 9, 101, -1):
        with pytest.raises(InvalidArgument):
            sessions.keep_alive(session_id, client_progress=progress)


def test_one_active_session_per_item(client: Any) -> None:
    item = make_item(client)
    make_session(client, item)
    with pytest.raises(ResourceBusy):
        make_session(client, item)


def test_an_upload_with_the_sdks_files(client: Any, http: requests.Session) -> None:
    item_id = make_item(client)
    session_id = make_session(client, item_id)
    files = client.content.library.item.updatesession.File
    spec = File.AddSpec(name="disk 1.vmdk", source_type=File.SourceType.PUSH, size=3000)

    added = files.add(session_id, spec)
    assert added.bytes_transferred == 0
    with pytest.raises(NotAllowedInCurrentState):
        client.content.library.item.UpdateSession.complete(session_id)
    assert http.put(added.upload_endpoint.uri, data=b"x" * 3000).status_code == 200

    (listed,) = files.list(session_id)
    assert (listed.name, str(listed.status), listed.size) == ("disk 1.vmdk", "READY", 3000)
    assert files.get(session_id, "disk 1.vmdk").bytes_transferred == 3000
    assert files.validate(session_id).has_errors is False
    client.content.library.item.UpdateSession.complete(session_id)
    assert client.content.library.item.UpdateSession.get(session_id).state == "DONE"
    assert client.content.library.Item.get(item_id).content_version == "2"


def test_a_pulled_file(client: Any) -> None:
    session_id = make_session(client, make_item(client))
    files = client.content.library.item.updatesession.File
    source = TransferEndpoint(uri="https://mirror.example/debian.iso")
    spec = File.AddSpec(
        name="debian.iso", source_type=File.SourceType.PULL, source_endpoint=source, size=10
    )
    assert files.add(session_id, spec).source_endpoint.uri == source.uri
    files.remove(session_id, "debian.iso")
    with pytest.raises(InvalidArgument):
        files.get(session_id, "debian.iso")


def test_libraries_and_items_are_found_by_name(client: Any) -> None:
    item_id = make_item(client)
    library_id = client.content.library.Item.get(item_id).library_id
    assert client.content.Library.find(Library.FindSpec(name="Templates")) == [library_id]
    assert client.content.LocalLibrary.list() == [library_id]
    assert client.content.Library.get(library_id).name == "templates"
    found = client.content.library.Item.find(Item.FindSpec(name="debian-12", library_id=library_id))
    assert found == client.content.library.Item.list(library_id) == [item_id]
    client.content.library.Item.delete(item_id)
    client.content.LocalLibrary.delete(library_id)
    assert client.content.LocalLibrary.list() == []


def test_a_download_session(client: Any) -> None:
    downloads = client.content.library.item.DownloadSession
    session_id = downloads.create(DownloadSessionModel(library_item_id=make_item(client)))
    downloads.keep_alive(session_id, progress=30)
    assert downloads.get(session_id).client_progress == 30
    assert downloads.list() == [session_id]
    assert client.content.library.item.downloadsession.File.list(session_id) == []
    downloads.cancel(session_id)
    with pytest.raises(NotAllowedInCurrentState):
        downloads.keep_alive(session_id)


def test_who_is_logged_in(client: Any, simulator: Simulator) -> None:
    assert client.session_svc.get().user == simulator.username


def test_a_lost_token_is_unauthenticated(
    simulator: Simulator, server: str, http: requests.Session
) -> None:
    client = create_vsphere_client(server, session_id="no such token", session=http)
    with pytest.raises(Unauthenticated):
        client.content.library.item.UpdateSession.list()
    with pytest.raises(Unauthenticated):
        create_vsphere_client(server, simulator.username, "wrong", session=http)


def test_the_sdks_rest_connector_sends_the_api_form(
    client: Any, simulator: Simulator, server: str, http: requests.Session
) -> None:
    items = client.content.library.item
    item = make_item(client)
    session_id = make_session(client, item)
    download_id = items.DownloadSession.create(DownloadSessionModel(library_item_id=item))
    connector = get_requests_connector(
        session=http, url=f"https://{server}/api", msg_protocol="rest"
    )
    token = client.get_session_id()
    connector.set_security_context(create_session_security_context(token))
    over_rest = StubConfigurationFactory.new_std_configuration(connector)

    UpdateSession(over_rest).keep_alive(session_id, client_progress=40)
    DownloadSession(over_rest).keep_alive(download_id, progress=60)

    assert items.UpdateSession.get(session_id).client_progress == 40
    assert items.DownloadSession.get(download_id).client_progress == 60
    sent = simulator.ledger.requests("*_session.keep_alive")
    assert [(each.dialect, each.status) for each in sent] == [("api", 204)] * 2
    assert [each.client_progress for each in sent] == [40, 60]
