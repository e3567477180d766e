"""The two shapes of the same API: `/api` (7.0U2 and later) and `/rest` (6.0 to 8.x).

A dialect says which request an operation is; reading the answers is `results.py`'s business. Ids
come checked (`check_session_id`): nothing in a path needs escaping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from keepalived.lease.model import Kind
from keepalived.settings import Representation
from keepalived.vcenter import lists
from keepalived.vcenter.hiding import NO_SECRETS, Secrets
from keepalived.vcenter.representations import JSON_TYPE, as_form, as_json, keep_alive_as_xml
from keepalived.vcenter.results import JSON_MOST, FormError, list_of, read_json

Spec = Mapping[str, Any]
"""What something is to be like that is made: names and values as they stand in JSON."""


class Call(NamedTuple):
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


class Dialect(Protocol):
    """The requests of one dialect, and how it wraps what it answers."""

    name: str
    login: Call
    logout: Call
    who_am_i: Call

    def keep_alive(self, kind: Kind, session_id: str, progress: int | None) -> Call: ...
    def get(self, kind: Kind, session_id: str) -> Call: ...
    def list(self, kind: Kind) -> Call: ...
    def cancel(self, kind: Kind, session_id: str) -> Call: ...
    def files(self, kind: Kind, session_id: str) -> Call: ...
    def item(self, item_id: str) -> Call: ...
    def library(self, library_id: str) -> Call: ...
    def find_libraries(self, name: str) -> Call: ...
    def find_items(self, spec: Spec) -> Call: ...
    def sessions_of(self, item_id: str) -> Call: ...
    def create(self, resource: Resource, spec: Spec) -> Call: ...
    def delete(self, resource: Resource, resource_id: str) -> Call: ...
    def add_file(self, session_id: str, spec: Spec) -> Call: ...
    def value(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Any:
        """Return what a body says, without the secrets in its texts.

        Raises FormError where it is not this dialect's, or longer than JSON_MOST.
        """
        ...

    def elements(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Iterator[Any]:
        """Return the elements of the list that a body says, however long it is.

        Raises FormError like `value`, in the middle of a long list, too.
        """
        ...


class Api:
    """The dialect of 7.0U2 and later. It wants a body with every POST, an empty object at least."""

    name = "api"
    login = Call("POST", "/api/session")
    logout = Call("DELETE", "/api/session")
    who_am_i = Call("GET", "/api/session")

    def keep_alive(self, kind: Kind, session_id: str, progress: int | None) -> Call:
        """Extend the lifetime of a session."""
        parameters: dict[str, str | int] = {}
        if progress is not None:
            parameters[_PROGRESS[kind]] = progress
        path = f"{_API_SESSION[kind]}/{session_id}?action=keep-alive"
        return Call("POST", path, *as_json(parameters))

    def get(self, kind: Kind, session_id: str) -> Call:
        """Read a session."""
        return Call("GET", f"{_API_SESSION[kind]}/{session_id}")

    def list(self, kind: Kind) -> Call:
        """List the ids of the calling user's sessions."""
        return Call("GET", _API_SESSION[kind])

    def cancel(self, kind: Kind, session_id: str) -> Call:
        """Cancel a session."""
        return Call("POST", f"{_API_SESSION[kind]}/{session_id}?action=cancel", JSON_TYPE, b"{}")

    def files(self, kind: Kind, session_id: str) -> Call:
        """List the files of a session."""
        return Call("GET", f"{_API_SESSION[kind]}/{session_id}/file")

    def item(self, item_id: str) -> Call:
        """Read a library item."""
        return Call("GET", f"/api/content/library/item/{item_id}")

    def library(self, library_id: str) -> Call:
        """Read a library."""
        return Call("GET", f"/api/content/library/{library_id}")

    def find_libraries(self, name: str) -> Call:
        """List the ids of the libraries of a name."""
        return Call("POST", "/api/content/library?action=find", *as_json({"name": name}))

    def find_items(self, spec: Spec) -> Call:
        """List the ids of the items that are like this."""
        return Call("POST", "/api/content/library/item?action=find", *as_json(spec))

    def sessions_of(self, item_id: str) -> Call:
        """List the ids of the calling user's update sessions of an item."""
        return Call("GET", f"{_API_SESSION[Kind.UPDATE]}?library_item_id={item_id}")

    def create(self, resource: Resource, spec: Spec) -> Call:
        """Make something, of which the answer is the id."""
        return Call("POST", f"/api/content/{resource}", *as_json(spec))

    def delete(self, resource: Resource, resource_id: str) -> Call:
        """Remove something."""
        return Call("DELETE", f"/api/content/{resource}/{resource_id}")

    def add_file(self, session_id: str, spec: Spec) -> Call:
        """Announce a file of an update session."""
        path = f"{_API_SESSION[Kind.UPDATE]}/{session_id}/file"
        return Call("POST", path, *as_json(spec))

    def value(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Any:
        """Return what a body says: values stand bare."""
        return read_json(body, secrets)

    def elements(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Iterator[Any]:
        """Return the elements of the list that a body says, however long it is."""
        if len(body) <= JSON_MOST:
            return iter(list_of(self.value(body, secrets)))
        return lists.elements(body, secrets, is_wrapped=False)


class Rest:
    """The dialect of 6.0 to 8.x.

    JSON names the session in the path, as today's clients do; XML and form parameters name it in
    the body, as they were documented in 2014.
    """

    name = "rest"
    login = Call("POST", "/rest/com/vmware/cis/session")
    logout = Call("DELETE", "/rest/com/vmware/cis/session")
    who_am_i = Call("POST", "/rest/com/vmware/cis/session?~action=get", JSON_TYPE, b"{}")

    def __init__(self, representation: Representation = Representation.JSON) -> None:
        self._representation = representation

    def keep_alive(self, kind: Kind, session_id: str, progress: int | None) -> Call:
        """Extend the lifetime of a session."""
        parameters: dict[str, str | int] = {}
        if progress is not None:
            parameters[_PROGRESS[kind]] = progress
        if self._representation is Representation.JSON:
            path = f"{_REST_SESSION[kind]}/id:{session_id}?~action=keep-alive"
            return Call("POST", path, *as_json(parameters))
        parameters[f"{kind}_session_id"] = session_id
        path = f"{_REST_SESSION[kind]}?~action=keep-alive"
        if self._representation is Representation.XML:
            return Call("POST", path, *keep_alive_as_xml(kind, parameters))
        return Call("POST", path, *as_form(parameters))

    def get(self, kind: Kind, session_id: str) -> Call:
        """Read a session."""
        return Call("GET", f"{_REST_SESSION[kind]}/id:{session_id}")

    def list(self, kind: Kind) -> Call:
        """List the ids of the calling user's sessions."""
        return Call("GET", _REST_SESSION[kind])

    def cancel(self, kind: Kind, session_id: str) -> Call:
        """Cancel a session."""
        path = f"{_REST_SESSION[kind]}/id:{session_id}?~action=cancel"
        return Call("POST", path, JSON_TYPE, b"{}")

    def files(self, kind: Kind, session_id: str) -> Call:
        """List the files of a session."""
        noun = f"{kind}session"
        query = f"{kind}_session_id={session_id}"
        return Call("GET", f"/rest/com/vmware/content/library/item/{noun}/file?{query}")

    def item(self, item_id: str) -> Call:
        """Read a library item."""
        return Call("GET", f"/rest/com/vmware/content/library/item/id:{item_id}")

    def library(self, library_id: str) -> Call:
        """Read a library."""
        return Call("GET", f"/rest/com/vmware/content/library/id:{library_id}")

    def find_libraries(self, name: str) -> Call:
        """List the ids of the libraries of a name."""
        path = "/rest/com/vmware/content/library?~action=find"
        return Call("POST", path, *as_json({"spec": {"name": name}}))

    def find_items(self, spec: Spec) -> Call:
        """List the ids of the items that are like this."""
        path = "/rest/com/vmware/content/library/item?~action=find"
        return Call("POST", path, *as_json({"spec": spec}))

    def sessions_of(self, item_id: str) -> Call:
        """List the ids of the calling user's update sessions of an item."""
        return Call("GET", f"{_REST_SESSION[Kind.UPDATE]}?library_item_id={item_id}")

    def create(self, resource: Resource, spec: Spec) -> Call:
        """Make something, of which the answer is the id."""
        path = f"/rest/com/vmware/content/{resource}"
        return Call("POST", path, *as_json({"create_spec": spec}))

    def delete(self, resource: Resource, resource_id: str) -> Call:
        """Remove something."""
        return Call("DELETE", f"/rest/com/vmware/content/{resource}/id:{resource_id}")

    def add_file(self, session_id: str, spec: Spec) -> Call:
        """Announce a file of an update session."""
        noun = "/rest/com/vmware/content/library/item/updatesession/file"
        path = f"{noun}/id:{session_id}?~action=add"
        return Call("POST", path, *as_json({"file_spec": spec}))

    def value(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Any:
        """Return what a body says: values stand in an object named `value`."""
        wrapped = read_json(body, secrets)
        if not isinstance(wrapped, dict) or "value" not in wrapped:
            raise FormError("the answer has no value")
        return wrapped["value"]

    def elements(self, body: bytes, secrets: Secrets = NO_SECRETS) -> Iterator[Any]:
        """Return the elements of the list that a body says, however long it is."""
        if len(body) <= JSON_MOST:
            return iter(list_of(self.value(body, secrets)))
        return lists.elements(body, secrets, is_wrapped=True)


# VMware's own bindings name the parameter differently for the two kinds.
_PROGRESS = {Kind.UPDATE: "client_progress", Kind.DOWNLOAD: "progress"}
_API_SESSION = {kind: f"/api/content/library/item/{kind}-session" for kind in Kind}
_REST_SESSION = {kind: f"/rest/com/vmware/content/library/item/{kind}-session" for kind in Kind}
