"""Runs in the uploader's container of a pod under test: uploads one file, and knows no client.

It creates a session, drops a session file beside which nothing else is needed, lets gaps pass that
are longer than the session lives, and completes. Needs Python alone. Settings come by environment:
URL, USERNAME and PASSWORD of the vCenter, GAP in seconds; FAIL=1 fails before anything is held.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

SHARED = Path("/run/clkeepalived")
CONTENT = b"an image of some kind\n" * 1000


def call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    url = path if path.startswith("http") else os.environ["URL"] + path
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    if not isinstance(body, bytes):
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def main() -> None:
    if os.environ.get("FAIL"):
        sys.exit("failed before anything was held")
    gap = float(os.environ["GAP"])
    login = f"{os.environ['USERNAME']}:{os.environ['PASSWORD']}".encode()
    basic = "Basic " + base64.b64encode(login).decode()
    token = call("POST", "/api/session", headers={"Authorization": basic})
    mine = {"vmware-api-session-id": token}
    backings = [{"type": "DATASTORE", "datastore_id": "datastore-1"}]
    library = call(
        "POST",
        "/api/content/local-library",
        {"name": "pods", "type": "LOCAL", "storage_backings": backings},
        mine,
    )
    items = "/api/content/library/item"
    item = call("POST", items, {"name": "image", "library_id": library, "type": "iso"}, mine)
    session = call("POST", f"{items}/update-session", {"library_item_id": item}, mine)

    half_written = SHARED / "upload.tmp"
    half_written.write_text(f'sessions: [{{id: "{session}"}}]\n')
    half_written.rename(SHARED / "upload.yaml")

    path = f"{items}/update-session/{session}"
    time.sleep(gap)
    file = {"name": "image.iso", "source_type": "PUSH", "size": len(CONTENT)}
    added = call("POST", f"{path}/file", file, mine)
    call("PUT", added["upload_endpoint"]["uri"], CONTENT, mine)
    time.sleep(gap)
    call("POST", f"{path}?action=complete", {}, mine)
    print(f"completed {session}")


if __name__ == "__main__":
    main()
