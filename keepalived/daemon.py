"""The composition root and the life cycle.

1. build   everything is made from validated settings; nothing is opened yet
2. start   the listener is bound, keepers work, every source is read once: ready
3. run     until told to stop; a reload builds the new configuration whole, then swaps it in
4. drain   sources stop, sessions get a parting renewal, API sessions are logged out
5. stop    the listener closes last, so that the end can still be scraped

Signals only set events. A second request to stop skips what is left of the drain.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from keepalived.host.clock import Clock, SystemClock, sleep_until
from keepalived.keeper.keeper import Keeper, Manner
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.session import Ask
from keepalived.observe.eventlog import EventLog
from keepalived.observe.health import Health
from keepalived.observe.http import HttpListener
from keepalived.observe.logs import configure_logging
from keepalived.observe.metrics import Metrics
from keepalived.observe.reporter import Reporter
from keepalived.settings import ConfigError, Loaded, Observe, Settings, VCenterSettings
from keepalived.sources.yaml_files import YamlFiles
from keepalived.vcenter.client import Client
from keepalived.vcenter.http import build_transport
from keepalived.vcenter.transport import Transport

log = structlog.get_logger(__name__)

_HOUSEKEEPING_SECONDS = 5.0
_LOOKS = {
    Observe.FILES: (Ask.GET, Ask.FILES),
    Observe.STATE: (Ask.GET,),
    Observe.MINIMAL: (),
}
_LISTENER, _SOURCES = "the HTTP listener", "the sources"


class Daemon:
    """Everything that `clkeepalived serve` runs.

    `load` reads the configuration, at a reload once more; `make_transport` opens the way to a
    vCenter. Both, the clock and the random draws are injected, so that tests run the same daemon
    without files, network or waiting.
    """

    def __init__(
        self,
        loaded: Loaded,
        load: Callable[[], Loaded],
        *,
        clock: Clock | None = None,
        make_transport: Callable[[VCenterSettings], Transport] = build_transport,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.settings = loaded.settings
        self.address: tuple[str, int] | None = None
        self.ready = asyncio.Event()
        self._warnings = loaded.warnings
        self._load = load
        self._clock = clock or SystemClock()
        self._make_transport = make_transport
        self._draw = draw
        self._metrics = Metrics(
            version=importlib.metadata.version("content-library-keepalived"),
            max_sessions=self.settings.metrics.max_sessions,
            clock=self._clock,
        )
        self._reporter = Reporter(EventLog(), self._metrics)
        self.registry = Registry(self._reporter, self._clock, _retention(self.settings))
        self._health = Health(self._silences, [_LISTENER, _SOURCES])
        self._listener = HttpListener(
            self.settings.http.listen,
            metrics=self._metrics,
            snapshot=self.registry.snapshot,
            health=self._health,
        )
        self._sources = YamlFiles(
            self.settings, self.registry, self._reporter, self._clock, config=loaded.path
        )
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._abort = asyncio.Event()
        self._reload = asyncio.Event()

    def stop(self) -> None:
        """Ask the daemon to drain and end; asked again, it ends without draining further."""
        if self._stop.is_set():
            self._abort.set()
        self._stop.set()

    def reload(self) -> None:
        """Ask the daemon to read its configuration again."""
        self._reload.set()

    async def run(self) -> None:
        """Run until stopped. Raises ListenError where the listener cannot be bound."""
        self._say_warnings(self._warnings)
        self._metrics.configuration_read(successful=True)
        self.address = await self._listener.start()
        self._health.done(_LISTENER)
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._run_tasks(tasks)
        finally:
            await self._listener.stop()
        log.info("stopped")

    async def _run_tasks(self, tasks: asyncio.TaskGroup) -> None:
        def start(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
            return tasks.create_task(_endless(work, name), name=name)

        for name, settings in self.settings.vcenters.items():
            self._start_keeper(start, name, settings)
        helpers = [
            start(self._sources.run(), "sources"),
            start(self._keep_house(), "housekeeping"),
            start(self._reload_when_asked(start), "reload"),
            start(self._say_when_ready(), "readiness"),
        ]
        await self._stop.wait()
        log.info("stopping")
        for helper in helpers:
            helper.cancel()
        await self._drain(tasks)
        for keeping in self._keeping.values():
            keeping.cancel()

    async def _say_when_ready(self) -> None:
        await self._sources.read_once.wait()
        self._health.done(_SOURCES)
        self.ready.set()
        host, port = self.address or ("", 0)
        log.info(
            "ready",
            listen=f"{host}:{port}",
            vcenters=list(self.settings.vcenters),
            sessions=self.registry.held(),
        )
        await asyncio.Event().wait()

    async def _keep_house(self) -> None:
        while True:
            self.registry.sweep()
            await sleep_until(self._clock, self._clock.boot() + _HOUSEKEEPING_SECONDS)

    # -- keepers

    def _start_keeper(
        self,
        start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        name: str,
        settings: VCenterSettings,
    ) -> None:
        self._reporter.declare_vcenter(name, session_timeout=settings.session_timeout)
        client = Client(
            name,
            settings,
            self._make_transport(settings),
            self._clock,
            on_login=lambda outcome: self._reporter.login(name, outcome),
        )
        manner = Manner(
            session_timeout=settings.session_timeout,
            request_timeout=settings.request_timeout,
            max_in_flight=settings.max_in_flight,
            looks=_LOOKS[settings.observe],
        )
        keeper = Keeper(
            name, client, manner, self.registry, self._reporter, self._clock, self._draw
        )
        self.registry.attach(keeper)
        self._keeping[name] = start(keeper.run(), f"keeper {name}")

    async def _stop_keeper(self, keeper: Keeper) -> None:
        keeping = self._keeping.pop(keeper.name)
        keeping.cancel()
        await asyncio.wait([keeping])
        await keeper.close()

    async def _drain(self, tasks: asyncio.TaskGroup) -> None:
        """Give parting renewals and log out, in all vCenters at once, unless told to hurry."""

        async def part(keeper: Keeper) -> None:
            await keeper.part()
            await keeper.close()

        parting = [
            tasks.create_task(part(keeper), name=f"parting {keeper.name}")
            for keeper in self.registry.keepers
        ]
        hurry = tasks.create_task(self._abort.wait(), name="second request to stop")
        while parting and not hurry.done():
            _, pending = await asyncio.wait([*parting, hurry], return_when=asyncio.FIRST_COMPLETED)
            parting = [task for task in parting if task in pending]
        for task in (hurry, *parting):
            task.cancel()

    def _silences(self) -> dict[str, float]:
        now = self._clock.boot()
        return {keeper.name: now - keeper.ticked_at for keeper in self.registry.keepers}

    # -- reload

    async def _reload_when_asked(
        self, start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            log.info("reload_started")
            try:
                loaded = await asyncio.to_thread(self._load)
            except ConfigError as error:
                self._metrics.configuration_read(successful=False)
                log.error("reload_failed", problems=[str(each) for each in error.problems])
                continue
            self._say_warnings(loaded.warnings)
            await self._swap_in(loaded.settings, start)
            self._metrics.configuration_read(successful=True)
            log.info("reloaded", vcenters=list(self.settings.vcenters))

    async def _swap_in(
        self,
        settings: Settings,
        start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        if settings.http != self.settings.http:
            log.error("restart_needed", settings=["http"], message="the rest is applied")
            settings = settings.model_copy(update={"http": self.settings.http})
        before, self.settings = self.settings, settings
        configure_logging(format=settings.log.format, level=settings.log.level)
        self.registry.retention = _retention(settings)
        self._metrics.max_sessions = settings.metrics.max_sessions
        keepers = {keeper.name: keeper for keeper in self.registry.keepers}
        for name, vcenter in settings.vcenters.items():
            if before.vcenters.get(name) == vcenter:
                continue
            if name in keepers:
                await self._stop_keeper(keepers[name])
            self._start_keeper(start, name, vcenter)
        await self._sources.apply(settings)
        for name in keepers.keys() - settings.vcenters.keys():
            self.registry.detach(name)
            await self._stop_keeper(keepers[name])
            self._reporter.forget_vcenter(name)

    def _say_warnings(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            log.warning("configuration_warning", message=warning)


def _retention(settings: Settings) -> Retention:
    return Retention(ended=settings.retention.ended, failed=settings.retention.failed)


async def _endless(work: Coroutine[Any, Any, None], name: str) -> None:
    """Run a root task; that it returns is as much an error as that it raises."""
    await work
    raise RuntimeError(f"the task {name!r} ended, and should not have")
