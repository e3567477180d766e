"""A typical upload script on VMware's SDK, without keep-alives.

`python sdk_upload.py HOST CA_FILE FILE GAP TRANSFER` logs in with SDK_USERNAME and SDK_PASSWORD.
GAP is the pause before the transfer and TRANSFER its duration, in seconds. If GAP is a path, the
pause lasts until that file exists.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import requests

warnings.simplefilter("ignore", DeprecationWarning)

from com.vmware.content.library.item.updatesession_client import File  # noqa: E402 # as above
from com.vmware.content.library.item_client import UpdateSessionModel  # noqa: E402
from com.vmware.content.library_client import ItemModel, StorageBacking  # noqa: E402
from com.vmware.content_client import LibraryModel  # noqa: E402
from vmware.vapi.vsphere.client import create_vsphere_client  # noqa: E402


class Slow:
    """A file that is read slowly."""

    def __init__(self, file: BinaryIO, seconds: float) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._pause = seconds * 16384 / self._size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        time.sleep(self._pause)
        return self._file.read(min(size, 16384))


def main(host: str, ca_file: str, path: Path, gap: str, transfer: float) -> None:
    http = requests.Session()
    http.trust_env = False
    http.verify = ca_file
    username, password = os.environ["SDK_USERNAME"], os.environ["SDK_PASSWORD"]
    client = create_vsphere_client(host, username, password, session=http)
    sessions = client.content.library.item.UpdateSession
    session_id = sessions.create(UpdateSessionModel(library_item_id=make_item(client, path)))
    print(f"session {session_id}", flush=True)
    spec = File.AddSpec(name=path.name, source_type=File.SourceType.PUSH, size=path.stat().st_size)
    info = client.content.library.item.updatesession.File.add(session_id, spec)
    with path.open("rb") as file:
        while file.read(65536):  # like a checksum of an image on a slow disk
            time.sleep(0.0 if "/" in gap else float(gap) / 8)
        while "/" in gap and not os.path.exists(gap):
            time.sleep(0.05)
    with path.open("rb") as file:
        answer = http.put(info.upload_endpoint.uri, data=Slow(file, transfer), timeout=300)
    answer.raise_for_status()
    sessions.complete(session_id)
    while sessions.get(session_id).state == UpdateSessionModel.State.ACTIVE:
        time.sleep(0.1)
    print(f"ended as {sessions.get(session_id).state}", flush=True)
    sys.exit(23)  # a code that no other part of the test uses


def make_item(client: Any, path: Path) -> str:
    backing = StorageBacking(type=StorageBacking.Type.DATASTORE, datastore_id="datastore-10")
    local = LibraryModel.LibraryType.LOCAL
    spec = LibraryModel(name="templates", type=local, storage_backings=[backing])
    library = client.content.LocalLibrary.create(spec)
    item: str = client.content.library.Item.create(
        ItemModel(name=path.stem, library_id=library, type="iso")
    )
    return item


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
