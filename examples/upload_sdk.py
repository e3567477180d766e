"""Upload an image with VMware's Python SDK, and keep its session and token alive during the upload.

    VCENTER_USERNAME=… VCENTER_PASSWORD=… python upload_sdk.py HOST CA_FILE ITEM_ID FILE

Needs `pip install content-library-keepalived vmware-vcenter requests`.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
# VMware's SDK has no types.

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

import requests
from com.vmware.content.library.item.updatesession_client import File
from com.vmware.content.library.item_client import UpdateSessionModel
from vmware.vapi.vsphere.client import create_vsphere_client

import keepalived

LIFETIME = float(os.environ.get("SESSION_LIFETIME", "300"))
"""The timeout configured in the Content Library Service, in seconds; 300 by default."""


class Reading:
    """A file that reports how far it has been read."""

    def __init__(self, file: BinaryIO, size: int, held: keepalived.SessionHold) -> None:
        self._file = file
        self._size = size
        self._held = held

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._held.progress(self._file.tell(), self._size)
        return piece


def upload(host: str, ca_file: str, item_id: str, path: Path) -> None:
    http = requests.Session()
    http.verify = ca_file
    client = create_vsphere_client(
        host, os.environ["VCENTER_USERNAME"], os.environ["VCENTER_PASSWORD"], session=http
    )
    sessions = client.content.library.item.UpdateSession
    session_id = sessions.create(UpdateSessionModel(library_item_id=item_id))
    # Lend the SDK's own token: like the session, it would idle out during a long PUT.
    with keepalived.hold(
        f"https://{host}",
        session_id,
        token=client.get_session_id(),
        ca_file=ca_file,
        session_timeout=LIFETIME,
    ) as held:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        print(path.name, digest, flush=True)
        size = path.stat().st_size
        spec = File.AddSpec(name=path.name, source_type=File.SourceType.PUSH, size=size)
        added = client.content.library.item.updatesession.File.add(session_id, spec)
        with path.open("rb") as file:
            content = Reading(file, size, held)
            http.put(added.upload_endpoint.uri, data=content).raise_for_status()
        sessions.complete(session_id)
    print(f"ended as {held.state}")


if __name__ == "__main__":
    try:
        upload(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    except keepalived.SessionLost as lost:
        sys.exit(f"the content did not arrive: {lost}")
