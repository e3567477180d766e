"""Builds and runs the daemon: the composition root of `serve`, and its life cycle.

1. build   create all parts from validated settings, without opening anything
2. start   bind the sockets, read the state, start the keepers, read every source once: ready
3. serve   import and start the HTTP servers; until then, connections wait in the sockets' queues
4. run     until asked to stop; a reload reads the whole new configuration before applying it
5. drain   accept no new sessions, renew all a last time, log out of the vCenters
6. stop    write the state; close the HTTP listener last, so that the end can be scraped

Signals only set events. A second request to stop skips the rest of the drain.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import structlog

from keepalived.control.limits import share_of
from keepalived.engine import Engine, MakeTransport, Start
from keepalived.host import descriptors
from keepalived.host.clock import LONGEST_SLEEP, Clock, SystemClock, boot_id, sleep_until
from keepalived.host.notify import Notifier
from keepalived.host.tasks import start_endless
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.registry import Retention
from keepalived.lease.events import ONLY_COUNTED
from keepalived.observe.at_risk import warn_of_danger
from keepalived.observe.bus import EventBus
from keepalived.observe.eventlog import EventLog
from keepalived.observe.health import Health
from keepalived.observe.logs import configure_logging
from keepalived.observe.metrics import Metrics
from keepalived.observe.supervisor import SystemdNotifier
from keepalived.servers import REQUIREMENT, Servers
from keepalived.settings import ConfigError, Loaded, Reloaded, Settings
from keepalived.sources.discovery import Discovery
from keepalived.sources.yaml_files import YamlFiles
from keepalived.store.store import Store
from keepalived.vcenter.connect import build_transport
from keepalived.version import VERSION

log = structlog.get_logger(__name__)

_IDLE_POLL_SECONDS = 1.0
_OTHER_CONNECTIONS = 8
"""Connections to a vCenter other than for renewals: lists, commands, a lookup of its name."""
_SOURCES = "the sources"
_FIXED = ("http", "control", "state")
"""Settings that cannot change while the daemon runs: a reload refuses them by name."""


class Daemon:
    """The daemon that `clkeepalived serve` runs.

    `load` reads the configuration for a reload; `make_transport` creates the transport to a
    vCenter; `notifier` notifies systemd, if it started this process; `on_drained` is called when
    only writing the state and closing remain. These, the clock and the random numbers are injected,
    so that tests can run the daemon without files, network or waiting.
    """

    def __init__(
        self,
        loaded: Loaded,
        load: Callable[[], Awaitable[Loaded]],
        *,
        clock: Clock | None = None,
        make_transport: MakeTransport = build_transport,
        draw: Callable[[], float] = random.random,
        notifier: Notifier | None = None,
        on_drained: Callable[[], None] | None = None,
    ) -> None:
        self._on_drained = on_drained
        self.settings = loaded.settings
        self._warnings = loaded.warnings
        self._load = load
        self._clock = clock or SystemClock()
        self._metrics = Metrics(
            version=VERSION,
            max_sessions=self.settings.metrics.max_sessions,
            session_labels=self.settings.metrics.session_labels,
            clock=self._clock,
        )
        self._bus = bus = EventBus(self._metrics)
        bus.add(EventLog(), ignoring=ONLY_COUNTED)
        self._store = _store(self.settings, self._clock)
        self._engine = Engine(
            bus,
            self._clock,
            _retention(self.settings),
            self._store,
            make_transport=make_transport,
            draw=draw,
        )
        self.registry = self._engine.registry
        self._health = Health(self._tick_ages, [REQUIREMENT, _SOURCES], self._problems)
        self._servers = Servers(
            self.settings,
            self.registry,
            self._metrics,
            self._health,
            bus,
            self._clock,
            share_of(descriptors.limit(), _vcenter_connections(self.settings)),
            self._reload_now,
        )
        self._sources = YamlFiles(
            self.settings, self.registry, bus, self._clock, config=loaded.path
        )
        self._discovery = Discovery(self.settings, self.registry, bus, self._clock)
        self._notifier = notifier or Notifier(None)
        self._systemd = SystemdNotifier(
            self._notifier, self._health, self.registry.engine_view, self._clock
        )
        self._start: Start
        self._stop = asyncio.Event()
        self._abort = asyncio.Event()
        self._reload = asyncio.Event()
        self._reloading = asyncio.Lock()

    @property
    def is_stopping(self) -> bool:
        """Whether the daemon was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the daemon to drain and stop; a second call skips the rest of the drain."""
        if self._stop.is_set():
            self._abort.set()
        self._stop.set()

    def reload(self) -> None:
        """Ask the daemon to read its configuration again."""
        self._reload.set()

    async def run(self) -> None:
        """Run until stopped. Raises ListenError or SocketError if a socket cannot be opened."""
        self._log_warnings(self._warnings)
        self._metrics.configuration_read(successful=True)
        async with AsyncExitStack() as to_close:
            # Steps that may fail come before the task group, which would wrap their errors.
            await self._servers.bind_http(to_close)
            await self._open_store(to_close)
            self._servers.bind_control(to_close)
            tasks = await to_close.enter_async_context(asyncio.TaskGroup())
            self._start = partial(start_endless, tasks)
            for name, settings in self.settings.vcenters.items():
                self._engine.add(name, settings, self.settings.stall_timeout, self._start)
            await self._run_tasks(tasks)
        log.info("stopped")

    async def _open_store(self, to_close: AsyncExitStack) -> None:
        if self._store is None:
            log.warning(
                "state_unavailable",
                message=f"{self.settings.state.path.parent} does not exist, so holds taken over "
                "the socket are lost at a restart; create it, or set state.path",
            )
            return
        stored = await self._store.open()
        to_close.push_async_callback(self._store.close)
        self.registry.restore(stored.sessions, stored.ended)

    async def _run_tasks(self, tasks: asyncio.TaskGroup) -> None:
        start = self._start
        writing = [] if self._store is None else [start(self._store.run(), "state file")]
        helpers = [
            start(self._sources.run(), "sources"),
            start(self._discover(), "discovery"),
            start(self.registry.run_housekeeping(), "housekeeping"),
            start(warn_of_danger(self.registry.engine_view, self._clock, self._bus), "at risk"),
            start(self._end_when_idle(), "end when idle"),
            start(self._reload_when_asked(), "reload"),
            start(self._report_ready(), "readiness"),
            start(self._servers.run(self._sources.read_once), "servers"),
        ]
        if self._notifier.watchdog is not None:
            helpers.append(
                start(self._systemd.send_watchdog_signals(self._notifier.watchdog), "watchdog")
            )
        await self._stop.wait()
        log.info("stopping")
        self._systemd.stopping()
        for helper in helpers:
            helper.cancel()
        await self._servers.stop_control()
        await self._drain(tasks)
        for task in (*self._engine.tasks, *writing):
            task.cancel()
        if self._on_drained is not None:
            self._on_drained()

    async def _report_ready(self) -> None:
        await self._sources.read_once.wait()
        # Restored sessions of vCenters with discovery wait for the first list.
        self.registry.forget_unclaimed(
            [name for name, each in self.settings.vcenters.items() if each.discover is None]
        )
        self._health.done(_SOURCES)
        log.info(
            "ready",
            listen=self._servers.address,
            vcenters=list(self.settings.vcenters),
            sessions=self.registry.held(),
        )
        self._systemd.ready()
        await self._systemd.update_status()

    async def _discover(self) -> None:
        """Discover sessions that no file names, once all files have been read."""
        await self._sources.read_once.wait()
        await self._discovery.run()

    async def _end_when_idle(self) -> None:
        """Stop once no session has been held for `exit_when_idle`."""
        busy_at = self._clock.boot()
        while True:
            now = self._clock.boot()
            if self.registry.held():
                busy_at = now
            idle_limit, pause = self.settings.exit_when_idle, LONGEST_SLEEP
            if idle_limit is not None:
                pause = _IDLE_POLL_SECONDS
                if now - busy_at >= idle_limit:
                    idle_seconds = round(now - busy_at)
                    log.info("idle", seconds=idle_seconds, message="stopping (exit_when_idle)")
                    self._stop.set()
            await sleep_until(self._clock, now + pause)

    async def _drain(self, tasks: asyncio.TaskGroup) -> None:
        """Renew all sessions a last time and log out, in all vCenters concurrently."""

        async def final_renewal(keeper: Keeper) -> None:
            await keeper.final_renewal()
            await keeper.close()

        renewals = [
            tasks.create_task(final_renewal(keeper), name=f"final renewal {keeper.name}")
            for keeper in self.registry.keepers
        ]
        abort = tasks.create_task(self._abort.wait(), name="second request to stop")
        while renewals and not abort.done():
            _, pending = await asyncio.wait([*renewals, abort], return_when=asyncio.FIRST_COMPLETED)
            renewals = [task for task in renewals if task in pending]
        for task in (abort, *renewals):
            task.cancel()

    def _tick_ages(self) -> dict[str, float]:
        now = self._clock.boot()
        return {keeper.name: now - keeper.ticked_at for keeper in self.registry.keepers}

    def _problems(self) -> tuple[str, ...]:
        """Return why the daemon is not ready: phrases that follow "waiting for"."""
        hanging = tuple(f"{name}, which hangs when read" for name in self._sources.hanging)
        trouble = self._servers.trouble
        return (*hanging, f"the control socket: {trouble}") if trouble else hanging

    # -- reload

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._reload_now()

    async def _reload_now(self) -> Reloaded:
        """Read the configuration again, and apply it if it is valid."""
        async with self._reloading:
            log.info("reload_started")
            self._systemd.reloading()
            try:
                loaded = await self._load()
            except ConfigError as error:
                problems = tuple(str(problem) for problem in error.problems)
                self._metrics.configuration_read(successful=False)
                log.error("reload_failed", problems=list(problems))
                self._systemd.reloaded("the new configuration is invalid")
                return Reloaded(applied=False, problems=problems)
            self._log_warnings(loaded.warnings)
            refused = await self._apply(loaded.settings)
            self._metrics.configuration_read(successful=True)
            log.info("reloaded", vcenters=list(self.settings.vcenters))
            self._systemd.reloaded()
            return Reloaded(applied=True, problems=refused)

    async def _apply(self, settings: Settings) -> tuple[str, ...]:
        """Apply new settings, and return those that need a restart."""
        before = self.settings
        fixed = {name: getattr(before, name) for name in _FIXED}
        refused = [name for name in _FIXED if getattr(settings, name) != fixed[name]]
        if refused:
            log.error("restart_needed", settings=refused, message="all other changes are applied")
        settings = self.settings = settings.replace(**fixed)
        configure_logging(format=settings.log.format, level=settings.log.level)
        self.registry.retention = _retention(settings)
        self._metrics.state.cap.size = settings.metrics.max_sessions
        self._metrics.state.session_labels = settings.metrics.session_labels
        if self._store is not None:
            self._store.persist_tokens = settings.persist_tokens
        await self._discovery.rest()
        running = {keeper.name for keeper in self.registry.keepers}
        for name, vcenter in settings.vcenters.items():
            if before.vcenters.get(name) == vcenter:
                continue
            if name in running:
                await self._engine.stop(name)
            self._engine.add(name, vcenter, settings.stall_timeout, self._start)
        for keeper in self.registry.keepers:
            keeper.policy = replace(keeper.policy, stall_timeout=settings.stall_timeout)
        await self._sources.apply(settings)
        self._discovery.apply(settings)
        for name in running - settings.vcenters.keys():
            await self._engine.remove(name)
        return tuple(f"{name}: restart needed" for name in refused)

    def _log_warnings(self, warnings: tuple[str, ...]) -> None:
        for warning in warnings:
            log.warning("configuration_warning", message=warning)


def _retention(settings: Settings) -> Retention:
    return Retention(ended=settings.retention.ended, failed=settings.retention.failed)


def _vcenter_connections(settings: Settings) -> int:
    """Return how many connections to the vCenters may be open at once."""
    return sum(each.max_in_flight + _OTHER_CONNECTIONS for each in settings.vcenters.values())


def _store(settings: Settings, clock: Clock) -> Store | None:
    """Return the store; None if no path is configured and the default folder does not exist."""
    state = settings.state
    if "path" not in state.given and not state.path.parent.is_dir():
        return None
    return Store(state.path, clock, boot_id(), persist_tokens=settings.persist_tokens)
