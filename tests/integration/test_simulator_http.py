"""The simulator behind its HTTP skin, as a real client and a real socket meet it."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import (
    Fail,
    Hang,
    Latency,
    Refuse,
    Reset,
    Skew,
    Truncate,
    UnknownRoute,
)
from keepalived.simulator.server import serve
from tests.integration.simulator_support import (
    API,
    REST,
    Uploader,
    uploader_at,
    write_certificate,
)
from tests.support.simulator import basic


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(session_timeout=60, with_admin=True)


@pytest.fixture
async def uploader(simulator: Simulator) -> AsyncIterator[Uploader]:
    async with uploader_at(simulator) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere in this loop, and not for ever."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.001)


def keep_alive(session_id: str) -> str:
    return f"{API}/update-session/{session_id}?action=keep-alive"


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_an_upload_from_login_to_logout(uploader: Uploader, method: str) -> None:
    status, library = await uploader.call("POST", "/api/content/local-library", {"name": "iso"})
    assert status == 201
    status, item = await uploader.call("POST", API, {"name": "debian", "library_id": library})
    assert status == 201
    spec = {"library_item_id": item}
    status, session = await uploader.call("POST", f"{API}/update-session", spec)
    assert status == 201
    uri = await uploader.add_file(session, "debian 12.iso")
    async with uploader.http.request(method, uri, data=b"x" * 100_000) as sent:
        assert sent.status == 200

    assert await uploader.call("POST", keep_alive(session), {"client_progress": 90}) == (204, None)
    done = f"{API}/update-session/{session}?action=complete"
    assert await uploader.call("POST", done, {}) == (204, None)

    _, after = await uploader.call("GET", f"{API}/update-session/{session}")
    assert (after["state"], after["client_progress"]) == ("DONE", 90)
    _, changed = await uploader.call("GET", f"{API}/{item}")
    assert (changed["content_version"], changed["size"]) == ("2", 100_000)
    assert await uploader.call("DELETE", "/api/session") == (204, None)
    assert (await uploader.call("GET", "/api/session"))[0] == 401


async def test_a_put_needs_no_token_and_its_bytes_can_be_watched(
    simulator: Simulator, uploader: Uploader
) -> None:
    session_id = simulator.open_session()
    uri = await uploader.add_file(session_id, size=3000)
    assert uri.startswith(uploader.url)
    more = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await more.wait()
        yield b"x" * 2000

    async def watched(count: int) -> dict[str, object]:
        async with asyncio.timeout(120):
            while True:
                _, files = await uploader.call("GET", f"{API}/update-session/{session_id}/file")
                if files[0]["bytes_transferred"] == count:
                    return dict(files[0])

    async with aiohttp.ClientSession() as anonymous:
        put = asyncio.create_task(_put(anonymous, uri, slowly()))
        in_mid_transfer = await watched(1000)
        assert in_mid_transfer["status"] == "TRANSFERRING"
        assert "size" not in in_mid_transfer
        more.set()
        assert await put == 200
    ready = await watched(3000)
    assert (ready["status"], ready["size"]) == ("READY", 3000)


async def _put(http: aiohttp.ClientSession, uri: str, data: AsyncIterator[bytes] | bytes) -> int:
    async with http.put(uri, data=data) as answer:
        return answer.status


async def test_a_put_ends_when_its_session_does(simulator: Simulator, uploader: Uploader) -> None:
    session_id = simulator.open_session()
    uri = await uploader.add_file(session_id)
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            started.set()
            await asyncio.sleep(0.001)

    put = asyncio.create_task(_put(uploader.http, uri, endless()))
    await started.wait()
    cancel = f"{API}/update-session/{session_id}?action=cancel"
    assert await uploader.call("POST", cancel, {}) == (204, None)
    assert await put == 400
    assert await _put(uploader.http, uri, b"again") == 400
    assert await _put(uploader.http, uri.rpartition("/")[0] + "0/disk.vmdk", b"") == 404


async def test_a_put_broken_off_can_be_started_over(
    simulator: Simulator, uploader: Uploader
) -> None:
    session_id = simulator.open_session()
    uri = await uploader.add_file(session_id, size=5)
    parts = urlsplit(uri)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"PUT {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 5\r\n\r\nxx"
    writer.write(head.encode())
    (file,) = simulator.library.transfers.files(session_id)
    await until(lambda: file.bytes_transferred == 2)
    writer.close()
    await until(lambda: file.status == "ERROR")
    complete = f"{API}/update-session/{session_id}?action=complete"
    status, refused = await uploader.call("POST", complete, {})
    assert (status, refused["error_type"]) == (400, "NOT_ALLOWED_IN_CURRENT_STATE")

    assert await _put(uploader.http, uri, b"12345") == 200
    assert await uploader.call("POST", complete, {}) == (204, None)


async def test_the_simulators_own_clock_stamps_the_answers() -> None:
    simulator = Simulator(clock=lambda: 100.0, epoch=1_000_000_000.0)
    simulator.faults.add(Skew(-7200.0), count=2)
    async with serve(simulator) as url, aiohttp.ClientSession() as http:
        async with http.get(url + "/api/session") as answer:
            assert parsedate_to_datetime(answer.headers["date"]).timestamp() == 999_992_900
        async with http.get(url + "/elsewhere") as answer:
            assert answer.status == 404
            assert parsedate_to_datetime(answer.headers["date"]).timestamp() == 999_992_900
        async with http.get(url + "/elsewhere") as answer:
            assert parsedate_to_datetime(answer.headers["date"]).timestamp() == 1_000_000_100


async def test_rest_logins_set_a_cookie_unless_told_not_to(simulator: Simulator) -> None:
    login = "/rest/com/vmware/cis/session"
    async with serve(simulator) as url:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            async with http.post(
                url + login, headers=basic(simulator.username, simulator.password)
            ) as answer:
                assert "vmware-api-session-id" in answer.cookies
            async with http.post(f"{url}{login}?~action=get") as answer:
                assert (await answer.json())["value"]["user"] == simulator.username
        async with aiohttp.ClientSession() as http:
            headers = {
                **basic(simulator.username, simulator.password),
                "vmware-use-header-authn": "true",
            }
            async with http.post(url + login, headers=headers) as answer:
                assert not answer.cookies


async def test_the_older_representations_over_http(
    simulator: Simulator, uploader: Uploader
) -> None:
    session_id = simulator.open_session()
    form = {"update_session_id": session_id, "client_progress": "10"}
    in_body = f"{uploader.url}{REST}/update-session?~action=keep-alive"
    async with uploader.http.post(in_body, data=form) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    namespace = "http://vmware.com/content/library/item/update_session"
    xml = (
        f'<KeepAlive-Input xmlns="{namespace}"><client_progress>20</client_progress>'
        f"<update_session_id>{session_id}</update_session_id></KeepAlive-Input>"
    )
    headers = {"content-type": "application/xml"}
    async with uploader.http.post(in_body, data=xml.encode(), headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    sent = simulator.ledger.requests("update_session.keep_alive", session_id=session_id)
    assert [entry.client_progress for entry in sent] == [10, 20]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 504])
async def test_a_status_on_demand(simulator: Simulator, uploader: Uploader, status: int) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(Fail(status, retry_after=7), route="*.keep_alive", count=1)
    async with uploader.http.post(uploader.url + keep_alive(session_id), json={}) as answer:
        assert (answer.status, answer.headers["retry-after"]) == (status, "7")
        assert (await answer.json())["error_type"]
    assert await uploader.call("POST", keep_alive(session_id), {}) == (204, None)


async def test_an_unknown_route_on_demand(simulator: Simulator, uploader: Uploader) -> None:
    simulator.faults.add(UnknownRoute(), method="GET", count=1)
    status, body = await uploader.call("GET", "/api/session")
    assert status == 404
    assert body["messages"][0]["id"] == "com.vmware.vapi.rest.httpNotFound"


async def test_a_connection_reset_on_demand(simulator: Simulator, uploader: Uploader) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(Reset(act_first=True), route="update_session.keep_alive", count=1)
    with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
        await uploader.call("POST", keep_alive(session_id), {"client_progress": 5})
    _, session = await uploader.call("GET", f"{API}/update-session/{session_id}")
    assert session["client_progress"] == 5


async def test_a_body_broken_off_on_demand(simulator: Simulator, uploader: Uploader) -> None:
    simulator.faults.add(Truncate(), count=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        await uploader.call("GET", "/api/session")
    assert (await uploader.call("GET", "/api/session"))[0] == 200


async def test_a_hanging_request_ends_with_its_client(
    simulator: Simulator, uploader: Uploader
) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(Hang(), count=1)
    simulator.faults.add(Latency(0.01), count=2)
    timeout = aiohttp.ClientTimeout(total=0.1)
    with pytest.raises(TimeoutError):
        await uploader.http.post(uploader.url + keep_alive(session_id), json={}, timeout=timeout)
    (sent,) = simulator.ledger.requests("update_session.keep_alive")
    await until(lambda: sent.finished is not None)
    assert (sent.status, sent.fault) == (None, "hang+latency")
    assert simulator.ledger.session(session_id).in_flight == 0
    assert await uploader.call("POST", keep_alive(session_id), {}) == (204, None)


async def test_an_outage_closes_the_door_and_opens_it_again(
    simulator: Simulator, uploader: Uploader
) -> None:
    outage = simulator.faults.add(Refuse())
    for _ in range(3):
        with pytest.raises(aiohttp.ClientOSError):
            await uploader.call("GET", "/api/session")
    parts = urlsplit(uploader.url)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(parts.hostname, parts.port)
    simulator.faults.remove(outage)
    assert await _comes_back(uploader) == 200

    simulator.faults.add(Refuse(), seconds=0.05)
    with pytest.raises(aiohttp.ClientOSError):
        await uploader.call("GET", "/api/session")
    assert await _comes_back(uploader) == 200


async def _comes_back(uploader: Uploader) -> int:
    async with asyncio.timeout(120):
        while True:
            try:
                return (await uploader.call("GET", "/api/session"))[0]
            except aiohttp.ClientOSError:
                await asyncio.sleep(0.005)


async def test_a_restart_drops_connections_and_may_lose_tokens(
    simulator: Simulator, uploader: Uploader
) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(Hang(), count=1)
    # aiohttp's client would send a GET again by itself.
    hanging = asyncio.create_task(uploader.call("POST", keep_alive(session_id), {}))
    await until(lambda: simulator.ledger.attempts(session_id) == 1)
    simulator.restart()
    with pytest.raises(aiohttp.ClientOSError):
        await hanging
    assert (await uploader.call("GET", f"{API}/update-session/{session_id}"))[0] == 200

    simulator.restart(lose_tokens=True)
    assert await _comes_back(uploader) == 401


async def test_the_admin_endpoint(simulator: Simulator, uploader: Uploader) -> None:
    session_id = simulator.open_session()
    fault = {"effect": "fail", "status": 503, "route": "*.keep_alive", "count": 5}
    status, added = await uploader.call("POST", "/simulator/faults", fault)
    assert (status, added["effect"], added["count"]) == (201, "fail", 5)
    assert (await uploader.call("POST", keep_alive(session_id), {}))[0] == 503
    _, faults = await uploader.call("GET", "/simulator/faults")
    assert [each["count"] for each in faults] == [4]
    assert await uploader.call("DELETE", f"/simulator/faults/{added['id']}") == (200, {})
    assert await uploader.call("POST", keep_alive(session_id), {}) == (204, None)

    status, ledger = await uploader.call("GET", "/simulator/ledger")
    assert [entry["status"] for entry in ledger["requests"]] == [201, 503, 204]
    assert [event["event"] for event in ledger["events"]] == ["created"]
    assert ledger["sessions"][session_id]["attempts"] == 2
    assert await uploader.call("POST", "/simulator/restart", {"lose_tokens": True}) == (200, {})
    assert await _comes_back(uploader) == 401


async def test_the_admin_endpoint_is_closed_by_default() -> None:
    async with uploader_at(Simulator()) as uploader:
        assert (await uploader.call("GET", "/simulator/ledger"))[0] == 404


async def test_an_address_in_use_is_said_at_once(uploader: Uploader) -> None:
    port = urlsplit(uploader.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"):
        async with serve(Simulator(), port=port):
            pass


@pytest.mark.looptime
async def test_an_outage_of_minutes_on_the_fake_clock() -> None:
    loop = asyncio.get_running_loop()
    simulator = Simulator(clock=loop.time)
    seen = []
    async with uploader_at(simulator) as uploader:
        start = loop.time()
        simulator.faults.add(Refuse(), start=start + 95, seconds=120)
        for minute in range(5):
            await asyncio.sleep(start + 60 * minute - loop.time())
            try:
                seen.append((await uploader.call("GET", "/api/session"))[0])
            except aiohttp.ClientOSError:
                seen.append(0)
    assert seen == [200, 200, 0, 0, 200]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_command_serves_until_it_is_told_to_stop(scheme: str, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    command = [sys.executable, "-m", "keepalived.cli", "simulate", "--session-timeout", "90s"]
    if scheme == "https":
        command += ["--tls-cert", str(certificate)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = json.loads(await process.stdout.readline())
        url, headers = line["url"], basic(line["username"], line["password"])
        assert urlsplit(url).scheme == scheme
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=certificate))
        async with aiohttp.ClientSession(connector=connector) as http:
            async with http.post(url + "/api/session", headers=headers) as answer:
                assert answer.status == 201
            async with http.get(url + "/simulator/ledger") as answer:
                assert (await answer.json())["total"] == 1
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
