"""A simple keep-alive loop: renew, sleep until just before the timeout, renew; no retry.

    python -m benchmarks.survive.rivals.loop ORDER.json

It logs in once. A failed renewal is printed, and tried again after the interval.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import requests

from benchmarks.survive.rivals.order import Order

INTERVAL_SHARE = 0.9
"""270 s of 300: just under the timeout."""


def keep(http: requests.Session, order: Order, ids: list[str]) -> None:
    """Renew these sessions in an endless loop."""
    while True:
        began = time.monotonic()
        for session_id in ids:
            path = f"/api/content/library/item/update-session/{session_id}?action=keep-alive"
            try:
                http.post(order.url + path, json={}).raise_for_status()
            except requests.RequestException as error:
                print(f"{session_id}: {type(error).__name__}", flush=True)
        time.sleep(max(0.0, INTERVAL_SHARE * order.lifetime - (time.monotonic() - began)))


def main() -> None:
    order = Order.read(Path(sys.argv[1]))
    http = requests.Session()
    http.verify = str(order.ca_file)
    login = http.post(f"{order.url}/api/session", auth=(order.username, order.password), timeout=60)
    login.raise_for_status()
    http.headers["vmware-api-session-id"] = login.json()
    order.keep(partial(keep, http, order))


if __name__ == "__main__":
    main()
