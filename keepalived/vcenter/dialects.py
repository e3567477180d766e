"""Builds the requests of the API's two dialects: `/api` (7.0U2 and later), `/rest` (6.0 to 8.x).

`parsing` reads the answers. Ids must have been checked (`check_session_id`), so nothing in a path
needs escaping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlencode

from keepalived.lease.model import Kind
from keepalived.settings import Representation
from keepalived.vcenter import lists
from keepalived.vcenter.hiding import NO_SECRETS, Secrets
from keepalived.vcenter.parsing import JSON_MOST, FormError, list_of, read_json

JSON_TYPE = "application/json"

# Created once, because json.dumps creates an encoder at each call.
_encode = json.JSONEncoder(separators=(",", ":")).encode

Spec = Mapping[str, Any]
"""The properties of an object to create: names and values as in JSON."""


class ApiCall(NamedTuple):
    """One request of a dialect, without its token."""

    method: str
    path: str
    content_type: str | None = None
    body: bytes = b""


class Resource(StrEnum):
    """The paths of resources that can be created and deleted."""

    LOCAL_LIBRARY = "local-library"
    ITEM = "library/item"
    UPDATE_SESSION = "library/item/update-session"


class ApiDialect:
    """Builds the requests of one dialect, and decodes its answers."""

    name: str
    login: ApiCall
    logout: ApiCall
    who_am_i: ApiCall

    _content: str
    """The first part of all paths of the Content Library."""
    _action: str
    """The separator between a path and the requested action."""
    _id = ""
    """The prefix of an id in a path."""
    _is_wrapped = False
    """Whether values in bodies are wrapped in an object with one name."""

    def keep_alive(self, kind: Kind, session_id: str, progress: int | None) -> ApiCall:
        """Extend the lifetime of a session."""
        path = f"{self._session(kind, session_id)}{self._action}keep-alive"
        if progress is None:
            return ApiCall("POST", path, JSON_TYPE, b"{}")
        return ApiCall("POST", path, JSON_TYPE, _encode(_progress(kind, progress)).encode())

    def get(self, kind: Kind, session_id: str) -> ApiCall:
        """Read a session."""
        return ApiCall("GET", self._session(kind, session_id))

    def list(self, kind: Kind) -> ApiCall:
        """List the ids of the calling user's sessions."""
        return ApiCall("GET", self._sessions(kind))

    def cancel(self, kind: Kind, session_id: str) -> ApiCall:
        """Cancel a session."""
        path = f"{self._session(kind, session_id)}{self._action}cancel"
        return ApiCall("POST", path, JSON_TYPE, b"{}")

    def files(self, kind: Kind, session_id: str) -> ApiCall:
        """List the files of a session."""
        return ApiCall("GET", f"{self._session(kind, session_id)}/file")

    def item(self, item_id: str) -> ApiCall:
        """Read a library item."""
        return ApiCall("GET", f"{self._content}/library/item/{self._id}{item_id}")

    def library(self, library_id: str) -> ApiCall:
        """Read a library."""
        return ApiCall("GET", f"{self._content}/library/{self._id}{library_id}")

    def find_libraries(self, name: str) -> ApiCall:
        """List the ids of the libraries with this name."""
        return self._post(f"library{self._action}find", "spec", {"name": name})

    def find_items(self, spec: Spec) -> ApiCall:
        """List the ids of the items with these properties."""
        return self._post(f"library/item{self._action}find", "spec", spec)

    def sessions_of(self, item_id: str) -> ApiCall:
        """List the ids of the calling user's update sessions of an item."""
        return ApiCall("GET", f"{self._sessions(Kind.UPDATE)}?library_item_id={item_id}")

    def create(self, resource: Resource, spec: Spec) -> ApiCall:
        """Create a resource; the answer is its id."""
        return self._post(resource, "create_spec", spec)

    def delete(self, resource: Resource, resource_id: str) -> ApiCall:
        """Delete a resource."""
        return ApiCall("DELETE", f"{self._content}/{resource}/{self._id}{resource_id}")

    def add_file(self, session_id: str, spec: Spec) -> ApiCall:
        """Add a file to an update session."""
        return self._post(f"library/item/update-session/{session_id}/file", "file_spec", spec)

    def value(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Any:
        """Return the value of a body, with the secrets removed from its texts.

        Raises FormError for a body of another form, or longer than JSON_MOST.
        """
        decoded = read_json(body, secrets)
        if not self._is_wrapped:
            return decoded
        if not isinstance(decoded, dict) or "value" not in decoded:
            raise FormError("the answer has no value")
        return decoded["value"]

    def elements(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Iterator[Any]:
        """Return the elements of the list in a body, of any length.

        Raises FormError like `value`, possibly in the middle of a long list.
        """
        if len(body) <= JSON_MOST:
            return iter(list_of(self.value(body, secrets)))
        return lists.elements(body, secrets, is_wrapped=self._is_wrapped)

    def _sessions(self, kind: Kind) -> str:
        return f"{self._content}/library/item/{kind}-session"

    def _session(self, kind: Kind, session_id: str) -> str:
        return f"{self._content}/library/item/{kind.value}-session/{self._id}{session_id}"

    def _post(self, path: str, name: str, spec: Spec) -> ApiCall:
        content = {name: spec} if self._is_wrapped else spec
        return ApiCall("POST", f"{self._content}/{path}", JSON_TYPE, _encode(content).encode())


class Api(ApiDialect):
    """The dialect of 7.0U2 and later. Every POST needs a body, at least an empty object."""

    name = "api"
    login = ApiCall("POST", "/api/session")
    logout = ApiCall("DELETE", "/api/session")
    who_am_i = ApiCall("GET", "/api/session")

    _content = "/api/content"
    _action = "?action="


class Rest(ApiDialect):
    """The dialect of 6.0 to 8.x.

    With JSON, the session is in the path, as current clients send it; with XML and form parameters
    it is in the body, as documented in 2014.
    """

    name = "rest"
    login = ApiCall("POST", "/rest/com/vmware/cis/session")
    logout = ApiCall("DELETE", "/rest/com/vmware/cis/session")
    who_am_i = ApiCall("POST", "/rest/com/vmware/cis/session?~action=get", JSON_TYPE, b"{}")

    _content = "/rest/com/vmware/content"
    _action = "?~action="
    _id = "id:"
    _is_wrapped = True

    def __init__(self, representation: Representation = Representation.JSON) -> None:
        self._representation = representation

    def keep_alive(self, kind: Kind, session_id: str, progress: int | None) -> ApiCall:
        """Extend the lifetime of a session."""
        if self._representation is Representation.JSON:
            return super().keep_alive(kind, session_id, progress)
        parameters = {**_progress(kind, progress), f"{kind}_session_id": session_id}
        path = f"{self._sessions(kind)}{self._action}keep-alive"
        if self._representation is Representation.XML:
            return ApiCall("POST", path, "application/xml", _as_xml(kind, parameters))
        form = urlencode(parameters).encode()
        return ApiCall("POST", path, "application/x-www-form-urlencoded", form)

    def files(self, kind: Kind, session_id: str) -> ApiCall:
        """List the files of a session."""
        path = f"{self._content}/library/item/{kind}session/file"
        return ApiCall("GET", f"{path}?{kind}_session_id={session_id}")

    def add_file(self, session_id: str, spec: Spec) -> ApiCall:
        """Add a file to an update session."""
        path = f"library/item/updatesession/file/id:{session_id}?~action=add"
        return self._post(path, "file_spec", spec)


def _progress(kind: Kind, progress: int | None) -> dict[str, str | int]:
    """Return the parameters for progress, whose name depends on the kind of session."""
    if progress is None:
        return {}
    return {"client_progress" if kind is Kind.UPDATE else "progress": progress}


def _as_xml(kind: Kind, parameters: Mapping[str, str | int]) -> bytes:
    """Return the documented `KeepAlive-Input` element."""
    from xml.etree import ElementTree  # for old releases only

    namespace = f"http://vmware.com/content/library/item/{kind}_session"
    root = ElementTree.Element(f"{{{namespace}}}KeepAlive-Input")
    for name, value in parameters.items():
        ElementTree.SubElement(root, f"{{{namespace}}}{name}").text = str(value)
    body: bytes = ElementTree.tostring(
        root, encoding="utf-8", xml_declaration=True, default_namespace=namespace
    )
    return body
