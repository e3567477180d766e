"""Which operation a method, a path and an action ask for, in each dialect.

Templates follow the bindings of VMware's own SDK for `api`, and govmomi's client for `rest`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from keepalived.simulator.operations import DOWNLOAD, OPERATIONS, UPLOAD, Operation


class Dialect(StrEnum):
    """The three ways to speak to a vCenter; VMware's SDKs use the third."""

    API = "api"
    REST = "rest"
    JSON_RPC = "json-rpc"


@dataclass(frozen=True, slots=True)
class Route:
    """An operation as it is reached in one dialect."""

    dialect: Dialect
    operation: Operation


class Match(NamedTuple):
    """A target understood: its route, and the parameters in path and query."""

    route: Route
    parameters: Mapping[str, str]


JSON_RPC_TARGETS = ("/api", "/api/")
API_PREFIX = "/api"
REST_PREFIX = "/rest/com/vmware"
CONTENT_PREFIX = "/cls/data/"

_API = {
    "session.create": "POST /session",
    "session.get": "GET /session",
    "session.delete": "DELETE /session",
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
    "update_session_file.add": "POST {update}/{update_session_id}/file",
    "update_session_file.list": "GET {update}/{update_session_id}/file",
    "update_session_file.validate": "POST {update}/{update_session_id}/file?validate",
    "update_session_file.get": "GET {update}/{update_session_id}/file/{file_name}",
    "update_session_file.remove": "DELETE {update}/{update_session_id}/file/{file_name}",
    "download_session_file.list": "GET {download}/{download_session_id}/file",
    "download_session_file.get": "GET {download}/{download_session_id}/file?file_name",
    "download_session_file.prepare": "POST {download}/{download_session_id}/file?prepare",
}
_REST = {
    "session.create": "POST /cis/session",
    "session.get": "POST /cis/session?get",
    "session.delete": "DELETE /cis/session",
    "local_library.create": "POST /content/local-library",
    "local_library.list": "GET /content/local-library",
    "local_library.get": "GET /content/local-library/id:{library_id}",
    "local_library.delete": "DELETE /content/local-library/id:{library_id}",
    "item.create": "POST /content/library/item",
    "item.list": "GET /content/library/item",
    "item.find": "POST /content/library/item?find",
    "item.get": "GET /content/library/item/id:{library_item_id}",
    "item.delete": "DELETE /content/library/item/id:{library_item_id}",
    "library.list": "GET /content/library",
    "library.find": "POST /content/library?find",
    "library.get": "GET /content/library/id:{library_id}",
    "update_session_file.add": "POST {update_file}/id:{update_session_id}?add",
    "update_session_file.list": "GET {update_file}",
    "update_session_file.validate": "POST {update_file}/id:{update_session_id}?validate",
    "update_session_file.get": "POST {update_file}/id:{update_session_id}?get",
    "update_session_file.remove": "POST {update_file}/id:{update_session_id}?remove",
    "download_session_file.list": "GET {download_file}",
    "download_session_file.get": "POST {download_file}/id:{download_session_id}?get",
    "download_session_file.prepare": "POST {download_file}/id:{download_session_id}?prepare",
}
_BASES = {
    f"{kind}{suffix}": f"/content/library/item/{path}"
    for kind in ("update", "download")
    for suffix, path in (("", f"{kind}-session"), ("_file", f"{kind}session/file"))
}
_SESSION = {
    "create": "POST {base}",
    "list": "GET {base}",
    "get": "GET {base}/{id}",
    "delete": "DELETE {base}/{id}",
    "keep_alive": "POST {base}/{id}?keep-alive",
    "cancel": "POST {base}/{id}?cancel",
    "complete": "POST {base}/{id}?complete",
    "fail": "POST {base}/{id}?fail",
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

SERVICES: dict[tuple[str, str], Route] = {
    (_SERVICES[noun], verb): Route(Dialect.JSON_RPC, operation)
    for name, operation in OPERATIONS.items()
    for noun, _, verb in [name.partition(".")]
}
"""The routes of JSON-RPC, by service and operation."""

_PARAMETER = re.compile(r"\{(\w+)\}")
_Pattern = tuple[re.Pattern[str], Route]


def _templates(dialect: Dialect) -> list[tuple[str, str]]:
    """Return (operation, template), the more literal templates first."""
    rows = []
    for kind in ("update", "download"):
        marked_id = ("id:" if dialect is Dialect.REST else "") + f"{{{kind}_session_id}}"
        base = _BASES[kind]
        for verb, template in _SESSION.items():
            name = f"{kind}_session.{verb}"
            if name in OPERATIONS:
                rows.append((name, template.replace("{base}", base).replace("{id}", marked_id)))
        if dialect is Dialect.REST:
            rows.append((f"{kind}_session.keep_alive", f"POST {base}?keep-alive"))
    for name, template in (_REST if dialect is Dialect.REST else _API).items():
        for base_name, base in _BASES.items():
            template = template.replace(f"{{{base_name}}}", base)
        rows.append((name, template))
    return rows


def _compile() -> dict[tuple[str, str], list[_Pattern]]:
    """Return the patterns by (method, action)."""
    patterns: dict[tuple[str, str], list[_Pattern]] = {}
    for dialect, prefix in ((Dialect.API, API_PREFIX), (Dialect.REST, REST_PREFIX)):
        for name, template in _templates(dialect):
            method, _, rest = template.partition(" ")
            path, _, action = rest.partition("?")
            # Clients may escape the colon that marks an id in the path.
            path = path.replace("/id:", "/id(?::|%3A|%3a)")
            expression = prefix + _PARAMETER.sub(r"(?P<\1>[^/]+)", path)
            route = Route(dialect, OPERATIONS[name])
            patterns.setdefault((method, action), []).append((re.compile(expression), route))
    content = re.compile(CONTENT_PREFIX + "(?P<ticket>[^/]+)/(?P<file_name>[^/]+)")
    # Ansible's modules upload by POST.
    for method, operation in (("PUT", UPLOAD), ("POST", UPLOAD), ("GET", DOWNLOAD)):
        patterns.setdefault((method, ""), []).append((content, Route(Dialect.API, operation)))
    return patterns


_PATTERNS = _compile()


@lru_cache(maxsize=65536)
def resolve(method: str, target: str) -> Match | None:
    """Return what a method and a target (path and query, as on the wire) ask for, if anything."""
    path, _, query = target.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    action_parameter = "~action" if path.startswith("/rest/") else "action"
    action = parameters.pop(action_parameter, "")
    if not action and method == "GET" and "file_name" in parameters:
        # One file of a download session is asked for as all are, and named in the query.
        action = "file_name"
    for pattern, route in _PATTERNS.get((method, action), ()):
        found = pattern.fullmatch(path)
        if found:
            in_path = {name: unquote(text) for name, text in found.groupdict().items()}
            return Match(route, {**parameters, **in_path})
    return None


def dialect_of(target: str) -> Dialect:
    """Return the dialect in which even an unknown target is to be answered."""
    return Dialect.REST if target.startswith("/rest/") else Dialect.API
