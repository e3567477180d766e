"""The two shapes of the same API: `/api` (7.0U2 and later) and `/rest` (6.0 to 8.x).

A dialect says which request an operation is; reading the answers is `results.py`'s business. Ids
come checked (`check_session_id`): nothing in a path needs escaping.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlencode
from xml.etree import ElementTree

from keepalived.lease.model import Kind
from keepalived.settings import Representation
from keepalived.vcenter import lists
from keepalived.vcenter.hiding import NO_SECRETS, Secrets
from keepalived.vcenter.parsing import JSON_MOST, FormError, list_of, read_json

JSON_TYPE = "application/json"

# Made once: json.dumps makes an encoder at each call.
_encode = json.JSONEncoder(separators=(",", ":")).encode

Spec = Mapping[str, Any]
"""What something is to be like that is made: names and values as they stand in JSON."""


class ApiCall(NamedTuple):
    """One request of a dialect, without its token."""

    method: str
    path: str
    content_type: str | None = None
    body: bytes = b""


class Resource(StrEnum):
    """What can be made and removed, by its path."""

    LOCAL_LIBRARY = "local-library"
    ITEM = "library/item"
    UPDATE_SESSION = "library/item/update-session"


class ApiDialect:
    """The requests of one dialect, and how it wraps what it answers."""

    name: str
    login: ApiCall
    logout: ApiCall
    who_am_i: ApiCall

    _content: str
    """What the paths of libraries and of all that is in them begin with."""
    _action: str
    """What stands between a path and the action that is asked for."""
    _id = ""
    """What stands before an id in a path."""
    _is_wrapped = False
    """Whether what is said in a body stands in an object, under a name."""

    def keep_alive(self, kind: Kind, session_id: str, progress: int | None) -> ApiCall:
        """Extend the lifetime of a session."""
        path = f"{self._session(kind, session_id)}{self._action}keep-alive"
        return ApiCall("POST", path, JSON_TYPE, _encode(_told(kind, progress)).encode())

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
        """List the ids of the libraries of a name."""
        return self._post(f"library{self._action}find", "spec", {"name": name})

    def find_items(self, spec: Spec) -> ApiCall:
        """List the ids of the items that are like this."""
        return self._post(f"library/item{self._action}find", "spec", spec)

    def sessions_of(self, item_id: str) -> ApiCall:
        """List the ids of the calling user's update sessions of an item."""
        return ApiCall("GET", f"{self._sessions(Kind.UPDATE)}?library_item_id={item_id}")

    def create(self, resource: Resource, spec: Spec) -> ApiCall:
        """Make something, of which the answer is the id."""
        return self._post(resource, "create_spec", spec)

    def delete(self, resource: Resource, resource_id: str) -> ApiCall:
        """Remove something."""
        return ApiCall("DELETE", f"{self._content}/{resource}/{self._id}{resource_id}")

    def add_file(self, session_id: str, spec: Spec) -> ApiCall:
        """Announce a file of an update session."""
        return self._post(f"library/item/update-session/{session_id}/file", "file_spec", spec)

    def value(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Any:
        """Return what a body says, without the secrets in its texts.

        Raises FormError where it is not this dialect's, or longer than JSON_MOST.
        """
        said = read_json(body, secrets)
        if not self._is_wrapped:
            return said
        if not isinstance(said, dict) or "value" not in said:
            raise FormError("the answer has no value")
        return said["value"]

    def elements(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Iterator[Any]:
        """Return the elements of the list that a body says, however long it is.

        Raises FormError like `value`, in the middle of a long list, too.
        """
        if len(body) <= JSON_MOST:
            return iter(list_of(self.value(body, secrets)))
        return lists.elements(body, secrets, is_wrapped=self._is_wrapped)

    def _sessions(self, kind: Kind) -> str:
        return f"{self._content}/library/item/{kind}-session"

    def _session(self, kind: Kind, session_id: str) -> str:
        return f"{self._sessions(kind)}/{self._id}{session_id}"

    def _post(self, path: str, name: str, spec: Spec) -> ApiCall:
        said = {name: spec} if self._is_wrapped else spec
        return ApiCall("POST", f"{self._content}/{path}", JSON_TYPE, _encode(said).encode())


class Api(ApiDialect):
    """The dialect of 7.0U2 and later. It wants a body with every POST, an empty object at least."""

    name = "api"
    login = ApiCall("POST", "/api/session")
    logout = ApiCall("DELETE", "/api/session")
    who_am_i = ApiCall("GET", "/api/session")

    _content = "/api/content"
    _action = "?action="


class Rest(ApiDialect):
    """The dialect of 6.0 to 8.x.

    JSON names the session in the path, as today's clients do; XML and form parameters name it in
    the body, as they were documented in 2014.
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
        parameters = {**_told(kind, progress), f"{kind}_session_id": session_id}
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
        """Announce a file of an update session."""
        path = f"library/item/updatesession/file/id:{session_id}?~action=add"
        return self._post(path, "file_spec", spec)


def _told(kind: Kind, progress: int | None) -> dict[str, str | int]:
    """Return the parameters that tell progress; VMware's bindings name it in two ways."""
    if progress is None:
        return {}
    return {"client_progress" if kind is Kind.UPDATE else "progress": progress}


def _as_xml(kind: Kind, parameters: Mapping[str, str | int]) -> bytes:
    """Return the documented `KeepAlive-Input` element."""
    namespace = f"http://vmware.com/content/library/item/{kind}_session"
    root = ElementTree.Element(f"{{{namespace}}}KeepAlive-Input")
    for name, value in parameters.items():
        ElementTree.SubElement(root, f"{{{namespace}}}{name}").text = str(value)
    body: bytes = ElementTree.tostring(
        root, encoding="utf-8", xml_declaration=True, default_namespace=namespace
    )
    return body
