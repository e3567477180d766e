"""A typical download script without keep-alives, in plain Python.

`python -m tests.support.downloader ITEM_ID GAP [--leave]` opens a download session at the vCenter
named by GOVC_URL and similar variables, waits GAP seconds or until the file GAP exists, prepares
and fetches the item's only file, and deletes the session. It prints `session ID` at once, and at
the end the number of bytes.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.support.uploader import ITEMS, call, log_in_at, wait

SESSIONS = f"{ITEMS}/download-session"


def main(item_id: str, gap: str, *, leave: bool) -> None:
    mine = {"vmware-api-session-id": log_in_at(os.environ)}
    session = call("POST", SESSIONS, mine, {"library_item_id": item_id})
    print(f"session {session}", flush=True)
    wait(gap)
    (file,) = call("GET", f"{SESSIONS}/{session}/file", mine)
    prepare = f"{SESSIONS}/{session}/file?action=prepare"
    prepared = call("POST", prepare, mine, {"file_name": file["name"]})
    where = urlsplit(prepared["download_endpoint"]["uri"])
    connection = HTTPConnection(where.netloc, timeout=30)
    connection.request("GET", where.path)
    print(f"{len(connection.getresponse().read())} bytes", flush=True)
    connection.close()
    if not leave:
        call("DELETE", f"{SESSIONS}/{session}", mine)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], leave="--leave" in sys.argv)
