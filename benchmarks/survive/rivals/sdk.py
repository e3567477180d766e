"""VMware's SDK in one thread per session, which ends at its first exception.

    python -m benchmarks.survive.rivals.sdk ORDER.json

`keep_alive` is called every fifth of the lifetime.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import requests
from vmware.vapi.vsphere.client import create_vsphere_client

from benchmarks.survive.rivals.order import Order

INTERVAL_SHARE = 0.2


def keep(sessions: Any, order: Order, ids: list[str]) -> None:
    """Renew these sessions, each until its first exception."""
    left = list(ids)
    while left:
        began = time.monotonic()
        for session_id in tuple(left):
            try:
                sessions.keep_alive(session_id)
            except Exception as error:
                print(f"{session_id}: {type(error).__name__}", flush=True)
                left.remove(session_id)
        time.sleep(max(0.0, INTERVAL_SHARE * order.lifetime - (time.monotonic() - began)))


def main() -> None:
    warnings.simplefilter("ignore")
    order = Order.read(Path(sys.argv[1]))
    http = requests.Session()
    http.verify = str(order.ca_file)
    host = order.url.removeprefix("https://")
    client = create_vsphere_client(host, order.username, order.password, session=http)
    sessions = client.content.library.item.UpdateSession
    order.keep(partial(keep, sessions, order))


if __name__ == "__main__":
    main()
