"""`requests` with a pooled session, one keep-alive after the other."""

from __future__ import annotations

import itertools

import requests

from benchmarks.contenders.counting import Count, ids, task


def main() -> None:
    """Send keep-alives and print their number."""
    doing = task()
    path = f"{doing.url}/api/content/library/item/update-session"
    turns = itertools.cycle(f"{path}/{each}?action=keep-alive" for each in ids())
    http = requests.Session()
    http.trust_env = False
    http.verify = str(doing.ca_file) if doing.ca_file else True
    http.headers["vmware-api-session-id"] = "token"
    http.post(next(turns), json={}, timeout=10).raise_for_status()
    count, going = Count(doing.seconds), True
    while going:
        http.post(next(turns), json={}, timeout=10).raise_for_status()
        going = count.goes_on()
    count.report()


if __name__ == "__main__":
    main()
