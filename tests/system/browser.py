"""A headless Chromium, driven by its DevTools protocol, that remembers what it complained of."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_LISTENING = re.compile(r"DevTools listening on ws://([^/]+)/")
_COMPLAINTS = frozenset(
    {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Audits.issueAdded"}
)


class Tab:
    """One tab. `complaints` are console messages, exceptions, CSP violations and their like."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[Any] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            elif said["method"] in _COMPLAINTS:
                self.complaints.append(said)

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(15):
            said = await answer
        assert "result" in said, f"{method}: {said}"
        return said["result"]

    async def open(self, url: str) -> None:
        """Go to an address, and wait until the page is complete."""
        await self.call("Page.navigate", url=url)
        await self.until(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")

    async def tell(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    async def until(self, expression: str, seconds: float = 15.0) -> None:
        """Wait until an expression is true, or something, in the page's own eyes."""
        deadline = time.monotonic() + seconds
        while not await self.tell(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                text = await self.tell("document.body.innerText")
                raise AssertionError(f"waited {seconds} s for {expression} on the page:\n{text}")
            await asyncio.sleep(0.05)

    async def press(self, key: str) -> None:
        """Press a key such as Tab or Enter."""
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def look(self, *, width: int, dark: bool = False, height: int = 900) -> None:
        """Become as wide as that, in light or dark colours; a phone where it is narrow."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, *, whole: bool = True) -> bytes:
        """Return a PNG of the page, or of what of it fits into the window."""
        taken = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(taken["data"])


@asynccontextmanager
async def chromium(folder: Path, *, scripts: bool = True) -> AsyncIterator[Tab]:
    """Run Chromium until the block is left; `folder` is for its profile.

    Without `scripts`, those of pages do not run, as where they are switched off.
    """
    process = await asyncio.create_subprocess_exec(
        "chromium",
        "--headless=new",
        "--no-sandbox",  # its own sandbox refuses to run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        *(() if scripts else ("--blink-settings=scriptEnabled=false",)),
        f"--user-data-dir={folder / 'chromium'}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(30):
            address = await _address(process.stderr)
        reading = asyncio.create_task(_read_on(process.stderr))
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://{address}/json/list") as answer:
                targets = await answer.json()
            page = next(each for each in targets if each["type"] == "page")
            url = page["webSocketDebuggerUrl"]
            async with http.ws_connect(url, max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log", "Audits"):
                    await tab.call(f"{domain}.enable")
                yield tab
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def _address(said: asyncio.StreamReader) -> str:
    lines = []
    async for line in said:
        lines.append(line.decode(errors="replace"))
        if found := _LISTENING.search(lines[-1]):
            return found[1]
    raise AssertionError("Chromium did not start:\n" + "".join(lines))


async def _read_on(said: asyncio.StreamReader) -> None:
    async for _ in said:
        pass
