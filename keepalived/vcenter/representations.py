"""The three documented ways to write the parameters of a `/rest` call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from keepalived.lease.model import Kind

JSON_TYPE = "application/json"

# Made once: json.dumps makes an encoder at each call.
_encode = json.JSONEncoder(separators=(",", ":")).encode

_NAMESPACES = {
    Kind.UPDATE: "http://vmware.com/content/library/item/update_session",
    Kind.DOWNLOAD: "http://vmware.com/content/library/item/download_session",
}


def as_json(parameters: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return content type and body; an empty object where there is nothing to say."""
    return JSON_TYPE, _encode(parameters).encode()


def as_form(parameters: Mapping[str, str | int]) -> tuple[str, bytes]:
    """Return content type and body as form parameters."""
    return "application/x-www-form-urlencoded", urlencode(parameters).encode()


def keep_alive_as_xml(kind: Kind, parameters: Mapping[str, str | int]) -> tuple[str, bytes]:
    """Return content type and body as the documented `KeepAlive-Input` element."""
    namespace = _NAMESPACES[kind]
    root = ElementTree.Element(f"{{{namespace}}}KeepAlive-Input")
    for name, value in parameters.items():
        ElementTree.SubElement(root, f"{{{namespace}}}{name}").text = str(value)
    body: bytes = ElementTree.tostring(
        root, encoding="utf-8", xml_declaration=True, default_namespace=namespace
    )
    return "application/xml", body
