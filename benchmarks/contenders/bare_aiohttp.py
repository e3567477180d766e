"""A tuned aiohttp loop without schedule, state, metrics or checks of the answers.

Addresses, headers, TLS and pooled connections are prepared before the measurement starts.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl

import aiohttp
import uvloop
from yarl import URL

from benchmarks.contenders.counting import Count, Task, ids, task


async def send(doing: Task) -> Count:
    """Send keep-alives until the time is over."""
    tls = ssl.create_default_context(cafile=doing.ca_file) if doing.ca_file else True
    path = f"{doing.url}/api/content/library/item/update-session"
    urls = [URL(f"{path}/{each}?action=keep-alive", encoded=True) for each in ids()]
    turns = itertools.cycle(urls)
    headers = {"vmware-api-session-id": "token", "content-type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
        trust_env=False,
    ) as session:

        async def worker(count: Count) -> None:
            going = True
            while going:
                async with session.post(next(turns), data=b"{}", ssl=tls) as response:
                    if response.status != 204:
                        raise RuntimeError(f"HTTP {response.status}")
                going = count.goes_on()

        async def work(seconds: float) -> Count:
            count = Count(seconds)
            await asyncio.gather(*(worker(count) for _ in range(doing.at_once)))
            return count

        await work(0.2)
        return await work(doing.seconds)


def main() -> None:
    """Send keep-alives and print their number."""
    doing = task()
    factory = uvloop.new_event_loop if doing.loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(send(doing)).report()


if __name__ == "__main__":
    main()
