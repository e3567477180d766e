"""Map method, path and action to operations, in each dialect.

Templates follow the bindings of VMware's SDK for `api`, and govmomi's client for `rest`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from keepalived.lease.model import Kind
from keepalived.simulator.operations import DOWNLOAD, OPERATIONS, UPLOAD, Operation


class ServedDialect(StrEnum):
    """The three protocols of a vCenter; VMware's SDKs use the third."""

    API = "api"
    REST = "rest"
    JSON_RPC = "json-rpc"


class Match(NamedTuple):
    """A matched target: its operation, and the parameters in path and query."""

    dialect: ServedDialect
    operation: Operation
    parameters: Mapping[str, str]


JSON_RPC_TARGETS = ("/api", "/api/")
API_PREFIX = "/api"
REST_PREFIX = "/rest/com/vmware"
CONTENT_PREFIX = "/cls/data/"

_COMMON = {
    "local_library.create": "POST /content/local-library",
    "local_library.list": "GET /content/local-library",
    "local_library.get": "GET /content/local-library/{library_id}",
    "local_library.delete": "DELETE /content/local-library/{library_id}",
    "item.create": "POST /content/library/item",
    "item.list": "GET /content/library/item",
    "item.find": "POST /content/library/item?find",
    "item.get": "GET /content/library/item/{library_item_id}",
    "item.delete": "DELETE /content/library/item/{library_item_id}",
    "library.list": "GET /content/library",
    "library.find": "POST /content/library?find",
    "library.get": "GET /content/library/{library_id}",
}
_SESSION = {
    "create": "POST /content/library/item/KIND-session",
    "list": "GET /content/library/item/KIND-session",
    "get": "GET /content/library/item/KIND-session/{KIND_session_id}",
    "delete": "DELETE /content/library/item/KIND-session/{KIND_session_id}",
    "keep_alive": "POST /content/library/item/KIND-session/{KIND_session_id}?keep-alive",
    "cancel": "POST /content/library/item/KIND-session/{KIND_session_id}?cancel",
    "complete": "POST /content/library/item/KIND-session/{KIND_session_id}?complete",
    "fail": "POST /content/library/item/KIND-session/{KIND_session_id}?fail",
}
_UPDATE = "/content/library/item/update-session/{update_session_id}/file"
_DOWNLOAD = "/content/library/item/download-session/{download_session_id}/file"
_API = {
    "session.create": "POST /session",
    "session.get": "GET /session",
    "session.delete": "DELETE /session",
    "update_session_file.add": f"POST {_UPDATE}",
    "update_session_file.list": f"GET {_UPDATE}",
    "update_session_file.validate": f"POST {_UPDATE}?validate",
    "update_session_file.get": f"GET {_UPDATE}/{{file_name}}",
    "update_session_file.remove": f"DELETE {_UPDATE}/{{file_name}}",
    "download_session_file.list": f"GET {_DOWNLOAD}",
    "download_session_file.get": f"GET {_DOWNLOAD}?file_name",
    "download_session_file.prepare": f"POST {_DOWNLOAD}?prepare",
}
_REST_UPDATE = "/content/library/item/updatesession/file"
_REST_DOWNLOAD = "/content/library/item/downloadsession/file"
_REST = {
    "session.create": "POST /cis/session",
    "session.get": "POST /cis/session?get",
    "session.delete": "DELETE /cis/session",
    "update_session.keep_alive": "POST /content/library/item/update-session?keep-alive",
    "download_session.keep_alive": "POST /content/library/item/download-session?keep-alive",
    "update_session_file.add": f"POST {_REST_UPDATE}/{{update_session_id}}?add",
    "update_session_file.list": f"GET {_REST_UPDATE}",
    "update_session_file.validate": f"POST {_REST_UPDATE}/{{update_session_id}}?validate",
    "update_session_file.get": f"POST {_REST_UPDATE}/{{update_session_id}}?get",
    "update_session_file.remove": f"POST {_REST_UPDATE}/{{update_session_id}}?remove",
    "download_session_file.list": f"GET {_REST_DOWNLOAD}",
    "download_session_file.get": f"POST {_REST_DOWNLOAD}/{{download_session_id}}?get",
    "download_session_file.prepare": f"POST {_REST_DOWNLOAD}/{{download_session_id}}?prepare",
}
_SERVICES = {
    "session": "com.vmware.cis.session",
    "local_library": "com.vmware.content.local_library",
    "library": "com.vmware.content.library",
    "item": "com.vmware.content.library.item",
    "update_session": "com.vmware.content.library.item.update_session",
    "update_session_file": "com.vmware.content.library.item.updatesession.file",
    "download_session": "com.vmware.content.library.item.download_session",
    "download_session_file": "com.vmware.content.library.item.downloadsession.file",
}

SERVICES: dict[tuple[str, str], Operation] = {
    (_SERVICES[noun], verb): operation
    for name, operation in OPERATIONS.items()
    for noun, _, verb in [name.partition(".")]
}
"""The operations of JSON-RPC, by the names of service and operation."""

_PARAMETER = re.compile(r"\{(\w+)\}")
_Pattern = tuple[re.Pattern[str], ServedDialect, Operation]


def _compile() -> dict[tuple[str, str], list[_Pattern]]:
    """Return the patterns by (method, action)."""
    patterns: dict[tuple[str, str], list[_Pattern]] = defaultdict(list)
    sessions = [
        (f"{kind}_session.{verb}", template.replace("KIND", kind))
        for kind in Kind
        for verb, template in _SESSION.items()
        if f"{kind}_session.{verb}" in OPERATIONS
    ]
    for dialect, prefix, id_mark, own in (
        (ServedDialect.API, API_PREFIX, "", _API),
        # Clients may escape the colon that marks an id in the path.
        (ServedDialect.REST, REST_PREFIX, "id(?::|%3A|%3a)", _REST),
    ):
        # More literal templates first.
        for name, template in (*sessions, *own.items(), *_COMMON.items()):
            method, _, rest = template.partition(" ")
            path, _, action = rest.partition("?")
            expression = prefix + _PARAMETER.sub(rf"{id_mark}(?P<\1>[^/]+)", path)
            patterns[method, action].append((re.compile(expression), dialect, OPERATIONS[name]))
    content = re.compile(CONTENT_PREFIX + "(?P<ticket>[^/]+)/(?P<file_name>[^/]+)")
    # Ansible's modules upload by POST.
    for method, operation in (("PUT", UPLOAD), ("POST", UPLOAD), ("GET", DOWNLOAD)):
        patterns[method, ""].append((content, ServedDialect.API, operation))
    return patterns


_PATTERNS = _compile()


@lru_cache(maxsize=65536)
def resolve(method: str, target: str) -> Match | None:
    """Match a method and target (path and query, as on the wire); return None without a match."""
    path, _, query = target.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    action_parameter = "~action" if path.startswith("/rest/") else "action"
    action = parameters.pop(action_parameter, "")
    if not action and method == "GET" and "file_name" in parameters:
        # A request for one file of a download session differs from the list only by its query.
        action = "file_name"
    for pattern, dialect, operation in _PATTERNS.get((method, action), ()):
        if found := pattern.fullmatch(path):
            in_path = {name: unquote(text) for name, text in found.groupdict().items()}
            return Match(dialect, operation, {**parameters, **in_path})
    return None


def dialect_of(target: str) -> ServedDialect:
    """Return the dialect for answers to a target, known or unknown."""
    return ServedDialect.REST if target.startswith("/rest/") else ServedDialect.API
