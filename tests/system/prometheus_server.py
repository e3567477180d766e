"""A real Prometheus, told what to scrape, and asked by its own API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml

JOB = "clkeepalived"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer at one time."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as Prometheus has it now: `state` is pending or firing."""

    name: str
    state: str
    labels: dict[str, str]
    annotations: dict[str, str]


class PrometheusServer:
    """A Prometheus that runs; `url` is where it listens."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def query(self, expression: str) -> list[Sample]:
        """Evaluate an expression now; a scalar is one sample without labels.

        Raises ValueError with Prometheus's own words for one that it cannot evaluate.
        """
        found = await self._get("query", query=expression)
        if found["resultType"] == "scalar":
            return [Sample({}, float(found["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in found["result"]]

    async def query_range(
        self, expression: str, *, seconds: float, step: float
    ) -> list[list[Sample]]:
        """Evaluate an expression over the last seconds, as a graph does; a list for each series."""
        end = (await self.query("time()"))[0].value
        found = await self._get(
            "query_range", query=expression, start=end - seconds, end=end, step=step
        )
        return [
            [Sample(series["metric"], float(value)) for _, value in series["values"]]
            for series in found["result"]
        ]

    async def label_values(self, label: str, selector: str) -> list[str]:
        """Return the values of a label in the series of a selector, as Grafana asks for them."""
        values: list[str] = await self._get(f"label/{label}/values", **{"match[]": selector})
        return values

    async def alerts(self) -> list[Alert]:
        """Return the alerts that are pending or firing."""
        found = await self._get("alerts")
        return [
            Alert(each["labels"]["alertname"], each["state"], each["labels"], each["annotations"])
            for each in found["alerts"]
        ]

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {alert.name for alert in await self.alerts() if alert.state == "firing"}

    async def wait_until(
        self, ask: Callable[[], Awaitable[_T]], *, seconds: float = 8.0, what: str = "it"
    ) -> _T:
        """Ask until the answer is a true one, and return it: a list with a sample in it, say."""
        answer: _T | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if answer := await ask():
                        return answer
                    await asyncio.sleep(0.1)
        except TimeoutError:
            alerts = [(alert.name, alert.state) for alert in await self.alerts()]
            raise AssertionError(
                f"waited {seconds} s for {what}; alerts: {alerts}, last answer: {answer}"
            ) from None

    async def scraped(self, *, seconds: float = 8.0) -> None:
        """Wait until everything that is scraped has been scraped at least once."""

        async def all_up() -> bool:
            targets = (await self._get("targets", state="active"))["activeTargets"]
            return bool(targets) and all(each["health"] == "up" for each in targets)

        await self.wait_until(all_up, seconds=seconds, what="the first scrape")

    async def _get(self, what: str, **asked: str | float) -> Any:
        texts = {name: str(value) for name, value in asked.items()}
        async with self._http.get(f"{self.url}/api/v1/{what}", params=texts) as reply:
            told = await reply.json()
        if told["status"] != "success":
            raise ValueError(f"{told['errorType']}: {told['error']}")
        return told["data"]


@asynccontextmanager
async def prometheus(
    folder: Path, *targets: str, rules: Sequence[Path] = (), interval: str = "500ms"
) -> AsyncIterator[PrometheusServer]:
    """Run Prometheus until the block is left; `targets` are the HOST:PORT of daemons.

    Everything it writes is below `folder`. `interval` is that of scraping and of evaluating rules;
    the first scrape takes place some 5 s after the start, whatever the interval.
    """
    settings = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(targets)}]}],
    }
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus-data'}",
        "--web.listen-address=127.0.0.1:0",
        "--rules.alert.resend-delay=1s",
        "--log.format=json",
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said: list[str] = []
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(15):
            address = await _address(process.stderr, said)
        # Prometheus would block once the pipe of its log is full.
        reading = asyncio.create_task(_read_on(process.stderr))
        async with aiohttp.ClientSession() as http:
            yield PrometheusServer(f"http://{address}", http)
    finally:
        if process.returncode is None:
            process.kill()  # what it stored is of no use to anybody
        await process.wait()
        if reading is not None:
            await reading


async def _address(log: asyncio.StreamReader, said: list[str]) -> str:
    """Return where it listens, once it is ready for requests."""
    address = ""
    async for line in log:
        said.append(line.decode())
        event = json.loads(line)
        if event.get("msg") == "Listening on":
            address = event["address"]
        elif event.get("msg") == "Server is ready to receive web requests.":
            return address
    raise AssertionError("Prometheus did not start:\n" + "".join(said))


async def _read_on(log: asyncio.StreamReader) -> None:
    async for _ in log:
        pass
