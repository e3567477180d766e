"""The request of each operation, byte for byte, in both dialects and all representations."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from keepalived.lease.model import Kind
from keepalived.settings import Representation
from keepalived.vcenter.dialects import Api, ApiCall, ApiDialect, Rest

ID = "815994e5-1111:9c7e16e9-2222"
JSON = "application/json"
API = "/api/content/library"
REST = "/rest/com/vmware/content/library"


@pytest.mark.parametrize(
    ("progress", "body"),
    [(None, b"{}"), (0, b'{"client_progress":0}'), (10, b'{"client_progress":10}')],
)
def test_keep_alive_in_json(progress: int | None, body: bytes) -> None:
    assert Api().keep_alive(Kind.UPDATE, ID, progress) == ApiCall(
        "POST", f"{API}/item/update-session/{ID}?action=keep-alive", JSON, body
    )
    assert Rest().keep_alive(Kind.UPDATE, ID, progress) == ApiCall(
        "POST", f"{REST}/item/update-session/id:{ID}?~action=keep-alive", JSON, body
    )


def test_keep_alive_of_a_download_session() -> None:
    # VMware's own bindings call its parameter `progress`.
    assert Api().keep_alive(Kind.DOWNLOAD, ID, 10) == ApiCall(
        "POST", f"{API}/item/download-session/{ID}?action=keep-alive", JSON, b'{"progress":10}'
    )
    form = Rest(Representation.FORM).keep_alive(Kind.DOWNLOAD, "obj-103", 10)
    assert form.path == f"{REST}/item/download-session?~action=keep-alive"
    assert form.body == b"progress=10&download_session_id=obj-103"


@pytest.mark.parametrize(
    ("progress", "body"),
    [
        (None, b"update_session_id=obj-103"),
        (10, b"client_progress=10&update_session_id=obj-103"),
    ],
)
def test_keep_alive_as_form(progress: int | None, body: bytes) -> None:
    assert Rest(Representation.FORM).keep_alive(Kind.UPDATE, "obj-103", progress) == ApiCall(
        "POST",
        f"{REST}/item/update-session?~action=keep-alive",
        "application/x-www-form-urlencoded",
        body,
    )


def test_keep_alive_as_form_escapes_what_an_id_may_hold() -> None:
    call = Rest(Representation.FORM).keep_alive(Kind.UPDATE, "a:b", None)
    assert call.body == b"update_session_id=a%3Ab"


@pytest.mark.parametrize(
    ("kind", "progress", "children"),
    [
        (Kind.UPDATE, None, "<update_session_id>a:b</update_session_id>"),
        (
            Kind.UPDATE,
            10,
            "<client_progress>10</client_progress><update_session_id>a:b</update_session_id>",
        ),
        (
            Kind.DOWNLOAD,
            10,
            "<progress>10</progress><download_session_id>a:b</download_session_id>",
        ),
    ],
)
def test_keep_alive_as_xml(kind: Kind, progress: int | None, children: str) -> None:
    namespace = f"http://vmware.com/content/library/item/{kind}_session"
    call = Rest(Representation.XML).keep_alive(kind, "a:b", progress)
    assert call == ApiCall(
        "POST",
        f"{REST}/item/{kind}-session?~action=keep-alive",
        "application/xml",
        "<?xml version='1.0' encoding='utf-8'?>\n"
        f'<KeepAlive-Input xmlns="{namespace}">{children}</KeepAlive-Input>'.encode(),
    )
    root = ElementTree.fromstring(call.body)  # noqa: S314 - written a line above
    assert {child.tag.partition("}")[0] for child in [root, *root]} == {f"{{{namespace}"}


def test_other_requests_of_the_api_dialect() -> None:
    api = Api()
    session = f"{API}/item/download-session/{ID}"
    assert api.login == ApiCall("POST", "/api/session")
    assert api.who_am_i == ApiCall("GET", "/api/session")
    assert api.logout == ApiCall("DELETE", "/api/session")
    assert api.get(Kind.DOWNLOAD, ID) == ApiCall("GET", session)
    assert api.list(Kind.DOWNLOAD) == ApiCall("GET", f"{API}/item/download-session")
    assert api.cancel(Kind.DOWNLOAD, ID) == ApiCall("POST", f"{session}?action=cancel", JSON, b"{}")
    assert api.files(Kind.DOWNLOAD, ID) == ApiCall("GET", f"{session}/file")
    assert api.item("i-1") == ApiCall("GET", f"{API}/item/i-1")
    assert api.library("l-1") == ApiCall("GET", f"{API}/l-1")


def test_other_requests_of_the_rest_dialect() -> None:
    rest = Rest()
    session = f"{REST}/item/update-session/id:{ID}"
    login = "/rest/com/vmware/cis/session"
    assert rest.login == ApiCall("POST", login)
    assert rest.who_am_i == ApiCall("POST", f"{login}?~action=get", JSON, b"{}")
    assert rest.logout == ApiCall("DELETE", login)
    assert rest.get(Kind.UPDATE, ID) == ApiCall("GET", session)
    assert rest.list(Kind.UPDATE) == ApiCall("GET", f"{REST}/item/update-session")
    assert rest.cancel(Kind.UPDATE, ID) == ApiCall("POST", f"{session}?~action=cancel", JSON, b"{}")
    files = f"{REST}/item/updatesession/file?update_session_id={ID}"
    assert rest.files(Kind.UPDATE, ID) == ApiCall("GET", files)
    assert rest.item("i-1") == ApiCall("GET", f"{REST}/item/id:i-1")
    assert rest.library("l-1") == ApiCall("GET", f"{REST}/id:l-1")


def test_values_stand_bare_or_wrapped() -> None:
    assert Api().value(b'["a"]') == ["a"]
    assert Rest().value(b'{"value":["a"]}') == ["a"]
    assert Rest().value(b'{"value":null}') is None


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Api(), b""),
        (Api(), b"<html>"),
        (Api(), b"\xff\xfe\x00"),
        (Api(), b"[" * 60_000),
        (Api(), b'["' + b"x" * 70_000 + b'"]'),
        (Api(), b"1" * 10_000),
        (Rest(), b"[]"),
        (Rest(), b'{"values":1}'),
        (Rest(), b"null"),
    ],
)
def test_bodies_that_are_not_the_dialects(dialect: ApiDialect, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|no value|longer than 64 KiB"):
        dialect.value(body)
