"""A typical upload script without keep-alives, in plain Python.

`python uploader.py FILE` uploads one file into an item of the vCenter that GOVC_URL, GOVC_USERNAME
and GOVC_PASSWORD name: session, gap, PUT, gap, complete. It prints `session ID` at once. Gaps and
the PUT take the given seconds or, if given a path, until that file exists.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ITEMS = "/api/content/library/item"
SESSIONS = f"{ITEMS}/update-session"


class Refused(Exception):
    """The vCenter answered with an error status."""


def call(method: str, url: str, headers: dict[str, str], body: Any = None) -> Any:
    parts = urlsplit(url if url.startswith("http") else os.environ["GOVC_URL"] + url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=300)
    if not isinstance(body, Iterator):
        headers = {"Content-Type": "application/json", **headers}
        body = None if body is None else json.dumps(body).encode()
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status >= 300:
        raise Refused(f"{method} {parts.path} was answered by {answer.status}")
    return json.loads(text) if text else None


def log_in_at(environ: Mapping[str, str]) -> str:
    """Log in with GOVC_URL and similar variables, and return the token."""
    login = f"{environ['GOVC_USERNAME']}:{environ['GOVC_PASSWORD']}".encode()
    basic = "Basic " + base64.b64encode(login).decode()
    token: str = call("POST", environ["GOVC_URL"] + "/api/session", {"Authorization": basic})
    return token


def wait(until: str) -> None:
    """Sleep for the given seconds, or until the file of that path exists."""
    if "/" not in until:
        time.sleep(float(until))
    while "/" in until and not os.path.exists(until):
        time.sleep(0.05)


def slowly(path: Path, until: str) -> Iterator[bytes]:
    """Read a file over the given seconds, or at most 9/10 of it until another file exists."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        if "/" in until:
            while file.tell() < 0.9 * size and not os.path.exists(until):
                yield file.read(max(1, size // 400))
                time.sleep(0.1)
            wait(until)
            yield file.read()
        else:
            while chunk := file.read(max(1, -(-size // 20))):
                yield chunk
                time.sleep(float(until) / 20)


def item_id(library: str, name: str, mine: dict[str, str]) -> str:
    backings = [{"type": "DATASTORE", "datastore_id": "datastore-1"}]
    spec = {"name": library, "type": "LOCAL", "storage_backings": backings}
    found = call("POST", "/api/content/library?action=find", mine, {"name": library})
    where = found[0] if found else call("POST", "/api/content/local-library", mine, spec)
    spec = {"name": name, "library_id": where}
    found = call("POST", f"{ITEMS}?action=find", mine, spec)
    item: str = found[0] if found else call("POST", ITEMS, mine, {**spec, "type": "iso"})
    return item


def upload(wanted: argparse.Namespace, token: str) -> None:
    mine = {"vmware-api-session-id": token}
    library, _, name = wanted.item.partition("/")
    spec = {"library_item_id": item_id(library, name, mine)}
    session = call("POST", SESSIONS, mine, spec)
    print(f"session {session}", flush=True)
    path: Path = wanted.file
    size = path.stat().st_size
    with path.open("rb"):  # like an uploader that computes a checksum
        wait(wanted.gap)
    file = {"name": path.name, "source_type": "PUSH", "size": size}
    added = call("POST", f"{SESSIONS}/{session}/file", mine, file)
    length = {"Content-Length": str(size)}
    call("PUT", added["upload_endpoint"]["uri"], {**mine, **length}, slowly(path, wanted.put))
    wait(wanted.gap if wanted.queue is None else wanted.queue)
    if not wanted.leave:
        call("POST", f"{SESSIONS}/{session}?action=complete", mine, {})
        print(f"completed {session}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--item", default="templates/image", help="LIBRARY/NAME")
    parser.add_argument("--gap", default="0", help="pause before and after the PUT")
    parser.add_argument("--queue", help="pause after the PUT; default: the gap")
    parser.add_argument("--put", default="0", help="duration of the PUT")
    parser.add_argument("--leave", action="store_true", help="do not complete the session")
    parser.add_argument("--exit", type=int, default=0, help="the exit code")
    parser.add_argument("--use-token", type=Path, help="a file with an existing token")
    wanted = parser.parse_args()
    token = wanted.use_token.read_text().strip() if wanted.use_token else log_in_at(os.environ)
    try:
        upload(wanted, token)
    except Refused as error:
        sys.exit(str(error))
    sys.exit(wanted.exit)


if __name__ == "__main__":
    main()
