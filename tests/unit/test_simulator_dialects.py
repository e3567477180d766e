"""What requests and answers look like in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keepalived.lease.model import Kind
from keepalived.simulator.app import Simulator
from keepalived.simulator.content import Content
from keepalived.simulator.routes import ServedDialect
from keepalived.simulator.wire import Request
from tests.support.simulator import EPOCH, ITEM, Caller, Hands, api_caller, rest_caller

HTTP_NOT_FOUND = "com.vmware.vapi.rest.httpNotFound"
XML_NAMESPACE = "http://vmware.com/content/library/item/update_session"


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def simulator(hands: Hands) -> Simulator:
    return Simulator(clock=hands, epoch=EPOCH, base_url="https://vcsa.example:8443")


@pytest.fixture
async def api(simulator: Simulator) -> Caller:
    return await api_caller(simulator)


@pytest.fixture
async def rest(simulator: Simulator) -> Caller:
    return await rest_caller(simulator)


async def test_the_api_dialect(api: Caller) -> None:
    status, library = await api.call("POST", "/content/local-library", {"name": "iso"})
    assert (status, type(library)) == (201, str)
    assert await api.call("GET", "/content/library") == (200, [library])
    assert await api.call("GET", "/content/local-library") == (200, [library])
    assert await api.call("POST", "/content/library?action=find", {"name": "ISO"}) == (
        200,
        [library],
    )
    status, item = await api.call("POST", ITEM, {"name": "debian", "library_id": library})
    assert status == 201
    assert await api.call("GET", f"{ITEM}?library_id={library}") == (200, [item])
    find = {"name": "debian"}
    assert await api.call("POST", f"{ITEM}?action=find", find) == (200, [item])
    _, seen = await api.call("GET", f"{ITEM}/{item}")
    assert (seen["name"], seen["content_version"], seen["size"]) == ("debian", "1", 0)

    sessions = f"{ITEM}/update-session"
    status, session = await api.call("POST", sessions, {"library_item_id": item})
    assert status == 201
    assert await api.call("GET", sessions) == (200, [session])
    assert await api.call("GET", f"{sessions}?library_item_id={item}") == (200, [session])
    assert await api.call("GET", f"{sessions}/{session}") == (
        200,
        {
            "id": session,
            "library_item_id": item,
            "library_item_content_version": "1",
            "state": "ACTIVE",
            "client_progress": 0,
            "expiration_time": "2023-11-14T22:35:00.000Z",
            "preview_info": {"state": "NOT_APPLICABLE"},
        },
    )
    assert await api.call("POST", f"{sessions}/{session}?action=keep-alive", {}) == (204, None)
    assert await api.call("POST", f"{sessions}/{session}?action=cancel") == (204, None)
    assert await api.call("DELETE", f"{sessions}/{session}") == (204, None)
    assert await api.call("DELETE", f"{ITEM}/{item}") == (204, None)
    assert await api.call("DELETE", f"/content/local-library/{library}") == (204, None)


async def test_the_rest_dialect(rest: Caller) -> None:
    async def value(method: str, path: str, body: object = None) -> Any:
        status, answer = await rest.call(method, path, body)
        assert (status, list(answer)) == (200, ["value"])
        return answer["value"]

    spec: dict[str, object] = {"create_spec": {"name": "iso"}}
    library = await value("POST", "/content/local-library", spec)
    assert await value("GET", "/content/library") == [library]
    find = {"spec": {"name": "iso", "type": "LOCAL"}}
    assert await value("POST", "/content/library?~action=find", find) == [library]
    assert (await value("GET", f"/content/library/id:{library}"))["name"] == "iso"
    spec = {"create_spec": {"name": "debian", "library_id": library}}
    item = await value("POST", ITEM, spec)
    assert await value("GET", f"{ITEM}?library_id={library}") == [item]
    assert (await value("GET", f"{ITEM}/id%3A{item}"))["content_version"] == "1"

    sessions = f"{ITEM}/update-session"
    session = await value("POST", sessions, {"create_spec": {"library_item_id": item}})
    assert await value("GET", sessions) == [session]
    assert await value("GET", f"{sessions}/id:{session}") == {
        "id": session,
        "library_item_id": item,
        "library_item_content_version": "1",
        "state": "ACTIVE",
        "expiration_time": "2023-11-14T22:35:00.000Z",
        "preview_info": {"state": "NOT_APPLICABLE"},
    }
    keep_alive = f"{sessions}/id:{session}?~action=keep-alive"
    assert await rest.call("POST", keep_alive, {"client_progress": 5}) == (200, None)
    assert (await value("GET", f"{sessions}/id:{session}"))["client_progress"] == 5
    fail = {"client_error_message": "no such file"}
    assert await rest.call("POST", f"{sessions}/id:{session}?~action=fail", fail) == (200, None)
    seen = await value("GET", f"{sessions}/id:{session}")
    assert seen["error_message"]["default_message"] == "no such file"
    assert await rest.call("DELETE", f"{sessions}/id:{session}") == (200, None)


async def test_files_in_the_api_dialect(api: Caller, simulator: Simulator) -> None:
    files = f"{ITEM}/update-session/{simulator.open_session()}/file"
    assert await api.call("GET", files) == (200, [])
    status, added = await api.call("POST", files, {"name": "a b.iso", "source_type": "PUSH"})
    assert status == 201
    uri = added.pop("upload_endpoint")["uri"]
    assert uri.startswith("https://vcsa.example:8443/cls/data/")
    assert uri.endswith("/a%20b.iso")
    waiting = {"status": "WAITING_FOR_TRANSFER", "bytes_transferred": 0}
    assert added == {"name": "a b.iso", "source_type": "PUSH", **waiting}
    put = Request("PUT", uri.removeprefix("https://vcsa.example:8443"), {}, b"12345")
    assert (await simulator.handle(put)).status == 200
    _, ready = await api.call("GET", f"{files}/a%20b.iso")
    assert (ready["status"], ready["bytes_transferred"], ready["size"]) == ("READY", 5, 5)
    _, verdict = await api.call("POST", f"{files}?action=validate")
    assert verdict == {"has_errors": False, "missing_files": [], "invalid_files": []}
    assert await api.call("DELETE", f"{files}/a%20b.iso") == (204, None)
    for spec in ({"name": "f"}, {"name": "f", "source_type": "PUSHED"}):
        status, refused = await api.call("POST", files, spec)
        assert (status, refused["error_type"]) == (400, "INVALID_ARGUMENT")


async def test_the_upload_address_is_the_one_the_caller_knows(
    api: Caller, simulator: Simulator
) -> None:
    files = f"{ITEM}/update-session/{simulator.open_session()}/file"
    spec = json.dumps({"name": "disk", "source_type": "PUSH"}).encode()
    answer = await api.send("POST", files, spec, headers={"host": "other.example"})
    uri = json.loads(answer.body)["upload_endpoint"]["uri"]
    assert uri.startswith("https://other.example/cls/data/")


async def test_files_in_the_rest_dialect(rest: Caller, simulator: Simulator) -> None:
    session = simulator.open_session()
    files = f"{ITEM}/updatesession/file"
    endpoint = {"uri": "https://mirror.example/debian.iso"}
    spec = {"name": "iso", "source_type": "PULL", "source_endpoint": endpoint, "size": 100}
    status, added = await rest.call(
        "POST", f"{files}/id:{session}?~action=add", {"file_spec": spec}
    )
    file = {"name": "iso", "source_type": "PULL", "source_endpoint": endpoint}
    assert (status, added) == (200, {"value": {**file, "status": "TRANSFERRING"}})
    listed = await rest.call("GET", f"{files}?update_session_id={session}")
    assert listed == (200, {"value": [added["value"]]})
    one = await rest.call("POST", f"{files}/id:{session}?~action=get", {"file_name": "iso"})
    assert one == (200, added)
    remove = f"{files}/id:{session}?~action=remove"
    assert await rest.call("POST", remove, {"file_name": "iso"}) == (200, None)
    assert await rest.call("GET", f"{files}?update_session_id={session}") == (200, {"value": []})


async def test_download_sessions(api: Caller, simulator: Simulator) -> None:
    filled = simulator.library.open_session("uploader")
    item = simulator.library.catalog.item(filled.item_id)
    item.files["disk"] = Content(size=7)
    downloads = f"{ITEM}/download-session"
    status, session = await api.call("POST", downloads, {"library_item_id": item.id})
    assert status == 201
    for progress in ({"client_progress": 5}, {"progress": 10}, {}):
        keep_alive = f"{downloads}/{session}?action=keep-alive"
        assert await api.call("POST", keep_alive, progress) == (204, None)
    assert (await api.call("GET", f"{downloads}/{session}"))[1]["client_progress"] == 10
    _, files = await api.call("GET", f"{downloads}/{session}/file")
    assert files == [{"name": "disk", "size": 7, "bytes_transferred": 0, "status": "UNPREPARED"}]
    complete = f"{downloads}/{session}?action=complete"
    assert (await api.call("POST", complete))[0] == 404


@pytest.mark.parametrize("in_body", [False, True], ids=["id in the path", "id in the body"])
@pytest.mark.parametrize("representation", ["json", "xml", "form"])
async def test_every_way_to_keep_a_session_alive_under_rest(
    rest: Caller, simulator: Simulator, representation: str, in_body: bool
) -> None:
    session_id = simulator.open_session()
    fields: dict[str, Any] = {"client_progress": 10}
    if in_body:
        fields["update_session_id"] = session_id
    if representation == "json":
        sent, content_type = json.dumps(fields), "application/json"
    elif representation == "form":
        sent = "&".join(f"{name}={text}" for name, text in fields.items())
        content_type = "application/x-www-form-urlencoded; charset=utf-8"
    else:
        children = "".join(f"<{name}>{text}</{name}>" for name, text in fields.items())
        sent = f'<KeepAlive-Input xmlns="{XML_NAMESPACE}">{children}</KeepAlive-Input>'
        content_type = "application/xml"
    target = f"{ITEM}/update-session" + ("" if in_body else f"/id:{session_id}")
    answer = await rest.send("POST", f"{target}?~action=keep-alive", sent.encode(), content_type)
    assert (answer.status, answer.body) == (200, b"")
    (entry,) = simulator.ledger.requests("update_session.keep_alive", session_id=session_id)
    assert (entry.client_progress, entry.dialect) == (10, "rest")
    assert simulator.library.sessions.get(Kind.UPDATE, session_id).client_progress == 10


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"{", "application/json", "not valid JSON"),
        (b"[]", "application/json", "not a JSON object"),
        (b"<KeepAlive-Input", "application/xml", "not well-formed"),
        (b"<KeepAlive-Input/>", "text/xml", "root element"),
        (b"client_progress=ten", "application/x-www-form-urlencoded", "not an integer"),
        (b'{"client_progress": "10"}', "application/json", "not an integer"),
        (b'{"client_progress": true}', "application/json", "not an integer"),
        (
            b'{"update_session_id": "another"}',
            "application/json",
            "differs between the path and the body",
        ),
    ],
)
async def test_bodies_that_cannot_be_read_are_invalid_arguments(
    rest: Caller, simulator: Simulator, body: bytes, content_type: str, words: str
) -> None:
    path = f"{ITEM}/update-session/id:{simulator.open_session()}?~action=keep-alive"
    answer = await rest.send("POST", path, body, content_type)
    error = json.loads(answer.body)
    assert (answer.status, error["type"]) == (400, "com.vmware.vapi.std.errors.invalid_argument")
    assert words in error["value"]["messages"][0]["default_message"]


async def test_the_api_dialect_reads_json_only(api: Caller, simulator: Simulator) -> None:
    path = f"{ITEM}/update-session/{simulator.open_session()}?action=keep-alive"
    form = "application/x-www-form-urlencoded"
    assert (await api.send("POST", path, b"client_progress=1", form)).status == 415
    in_body = f"{ITEM}/update-session?action=keep-alive"
    assert (await api.call("POST", in_body, {"update_session_id": "x"}))[0] == 404


async def test_rest_wants_its_wrapper(rest: Caller) -> None:
    status, error = await rest.call("POST", "/content/local-library", {"name": "iso"})
    assert status == 400
    assert "create_spec" in error["value"]["messages"][0]["default_message"]


async def test_errors_in_each_dialects_own_shape(api: Caller, rest: Caller) -> None:
    path = f"{ITEM}/update-session"
    message = {
        "id": "com.vmware.vapi.std.errors.not_found",
        "default_message": "The update session with identifier gone:1 was not found.",
        "args": [],
    }
    body = {"error_type": "NOT_FOUND", "messages": [message]}
    assert await api.call("POST", f"{path}/gone:1?action=keep-alive", {}) == (404, body)
    assert await rest.call("POST", f"{path}/id:gone:1?~action=keep-alive", {}) == (
        404,
        {"type": "com.vmware.vapi.std.errors.not_found", "value": body},
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/content/library/item/update-session/a/b/c/d"),
        ("PUT", "/content/library"),
        ("POST", "/content/library/item/update-session/x?action=explode"),
        ("GET", "/"),
    ],
)
async def test_unknown_routes(api: Caller, rest: Caller, method: str, path: str) -> None:
    api.token = rest.token = ""  # an unknown route is one for strangers, too
    status, error = await api.call(method, path)
    assert (status, error["messages"][0]["id"]) == (404, HTTP_NOT_FOUND)
    status, error = await rest.call(method, path)
    assert (status, error["value"]["messages"][0]["id"]) == (404, HTTP_NOT_FOUND)


@pytest.mark.parametrize(
    ("dialect", "status_of_api", "status_of_rest"),
    [(ServedDialect.API, 401, 404), (ServedDialect.REST, 404, 401)],
)
async def test_a_server_may_speak_one_dialect_only(
    dialect: ServedDialect, status_of_api: int, status_of_rest: int
) -> None:
    simulator = Simulator(dialects=[dialect])
    api, rest = Caller(simulator), Caller(simulator, "/rest/com/vmware")
    assert (await api.call("POST", "/session"))[0] == status_of_api
    assert (await rest.call("POST", "/cis/session"))[0] == status_of_rest
    assert (await simulator.handle(Request("POST", "/api", {}, b"{}"))).status == 404


async def test_who_am_i_and_logout(api: Caller, rest: Caller, simulator: Simulator) -> None:
    status, me = await api.call("GET", "/session")
    assert (status, me["user"]) == (200, simulator.username)
    assert me["created_time"] == "2023-11-14T22:30:00.000Z"
    status, me = await rest.call("POST", "/cis/session?~action=get")
    assert (status, me["value"]["user"]) == (200, simulator.username)
    assert await api.call("DELETE", "/session") == (204, None)
    assert (await api.call("GET", "/session"))[0] == 401
    assert await rest.call("DELETE", "/cis/session") == (200, None)
    assert (await rest.call("POST", "/cis/session?~action=get"))[0] == 401


@pytest.mark.parametrize(("seconds", "status"), [(1799, 204), (1800, 401)])
async def test_an_idle_token_expires(
    api: Caller, simulator: Simulator, hands: Hands, seconds: float, status: int
) -> None:
    simulator.library.behaviour.session_timeout = 3600
    session_id = simulator.open_session()
    hands.time += seconds
    path = f"{ITEM}/update-session/{session_id}?action=keep-alive"
    assert (await api.call("POST", path, {}))[0] == status


async def test_a_read_only_user_creates_nothing(api: Caller, simulator: Simulator) -> None:
    simulator.logins.add_user("guest", "pw", read_only=True)
    session_id = simulator.open_session()
    await api.log_in("guest", "pw")
    status, error = await api.call("POST", "/content/local-library", {"name": "iso"})
    assert (status, error["error_type"]) == (403, "UNAUTHORIZED")
    assert "ContentLibrary.CreateLocalLibrary" in error["messages"][0]["default_message"]
    path = f"{ITEM}/update-session"
    assert (await api.call("POST", path, {"library_item_id": "x"}))[0] == 403
    assert await api.call("POST", f"{path}/{session_id}?action=keep-alive", {}) == (204, None)
    assert await api.call("GET", path) == (200, [])


async def test_finding_nothing_in_particular_is_invalid(api: Caller) -> None:
    for path in ("/content/library?action=find", f"{ITEM}?action=find"):
        assert (await api.call("POST", path, {}))[0] == 400
    found = await api.call("POST", "/content/library?action=find", {"type": "SUBSCRIBED"})
    assert found == (200, [])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b"[]",
        b'{"params": {"serviceId": "s", "operationId": "o", "input": {}}}',
        b'{"method": "list", "params": {"serviceId": "s", "operationId": "o", "input": null}}',
    ],
)
async def test_json_rpc_that_is_none(simulator: Simulator, body: bytes) -> None:
    answer = await simulator.handle(Request("POST", "/api", {}, body))
    error = json.loads(answer.body)["result"]["error"]["ERROR"]
    assert list(error) == ["com.vmware.vapi.std.errors.invalid_request"]


async def test_json_rpc_of_an_unknown_operation(simulator: Simulator) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": "7",
        "method": "invoke",
        "params": {
            "serviceId": "com.vmware.content.library",
            "operationId": "migrate",
            "ctx": {"appCtx": {}},
            "input": {"STRUCTURE": {"operation-input": {"data": {"BINARY": "eA=="}}}},
        },
    }
    answer = await simulator.handle(Request("POST", "/api", {}, json.dumps(call).encode()))
    sent = json.loads(answer.body)
    assert (answer.status, sent["id"]) == (200, "7")
    assert list(sent["result"]["error"]["ERROR"]) == [
        "com.vmware.vapi.std.errors.operation_not_found"
    ]
