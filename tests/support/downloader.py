"""A download as people write it, which knows nothing of what keeps it alive. Needs Python alone.

`python -m tests.support.downloader ITEM_ID GAP [--leave]` opens a download session at the vCenter
that GOVC_URL and its like name, waits so many seconds or until a file of that name exists, has the
item's only file prepared, fetches it, and deletes the session. It says `session ID` at once, and at
the end how many bytes there were.
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
