"""Run a command and keep the sessions that it opens alive: the steps of `clkeepalived exec`.

1. begin   list the account's sessions, to recognize new ones later; renew the named ones
2. run     run the command; hold sessions that appear, and distinguish its own from others'
3. settle  after success, hold its own until vCenter has processed them, up to a time limit
4. report  print what arrived, what did not and why; release all holds, cancel nothing
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from keepalived.engine import Engine, one_vcenter
from keepalived.host.clock import Clock, sleep_until
from keepalived.keeper.ports import VCenter
from keepalived.lease.events import SessionEnd
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session
from keepalived.lease.text import duration, printable
from keepalived.vcenter.client import Client
from keepalived.wrapper import summary
from keepalived.wrapper.child import Child, running
from keepalived.wrapper.console_listener import ConsoleListener
from keepalived.wrapper.display import ExecDisplay
from keepalived.wrapper.items import NamedItems
from keepalived.wrapper.options import ExecOptions, first_timeout
from keepalived.wrapper.ownership import item_name, names_in
from keepalived.wrapper.session_finder import FirstList, SearchError, SessionFinder
from keepalived.wrapper.session_tracker import SessionTracker, names
from keepalived.wrapper.signals import INTERRUPTS, handled, is_ignored, stop_own_group
from keepalived.wrapper.terminal import has_foreground
from keepalived.wrapper.tokens import Lent

UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h: no vCenter could be reached, so nothing could be kept alive."""

_POLLS_PER_LIFETIME = 10
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.25, 5.0
_POLL_GROWTH = 1.5
"""From a look to the next: quick uploaders end within seconds, and long ones can wait."""
_FAILED_LOOKS = 2
_BEGIN_TRIES = 3
_LAST_POLL_SECONDS = 3.0
_STDERR = 2


class Wrapped:
    """One command, with the sessions kept alive for it. `run` may be called once."""

    # Set once `run` has connected.
    _engine: Engine
    _vcenter: VCenter
    _tracker: SessionTracker
    _finder: SessionFinder

    def __init__(
        self,
        options: ExecOptions,
        lent: Lent,
        display: ExecDisplay,
        clock: Clock,
        client: Client,
        first: FirstList,
    ) -> None:
        self._options = options
        self._client = client
        self._first = first
        self._lent = lent
        self._display = display
        self._clock = clock
        self._child: Child | None = None
        self._was_asked_to_end = False
        self._was_silent = False
        self._interrupted = asyncio.Event()
        self._interrupted_by: signal.Signals | None = None
        self._asked_to_stop = asyncio.Event()
        lifetime = options.settings.session_timeout
        self._poll_seconds = min(_LONGEST_POLL_SECONDS, lifetime / _POLLS_PER_LIFETIME)
        self._items = NamedItems(client, options.wanted.items, lent)
        self._begin_timeout = first_timeout(options.settings)
        self._timeout = options.settings.request_timeout or min(self._begin_timeout, lifetime / 10)

    async def run(self) -> int:
        """Run the command and return its exit code, or 69 if no vCenter could be reached.

        SIGINT, SIGTERM and SIGHUP go to the command while it runs. Before, they prevent its start,
        and the exit code is that of a shell; afterwards, they end all waiting. Raises CommandError
        if the command does not exist.
        """
        handlers = {
            each: partial(self._interrupt, each) for each in INTERRUPTS if not is_ignored(each)
        }
        with handled(handlers):
            try:
                return await self._run()
            finally:
                self._display.close()

    def _interrupt(self, number: signal.Signals) -> None:
        self._interrupted_by = self._interrupted_by or number
        self._interrupted.set()

    async def _run(self) -> int:
        options, say = self._options, self._display.say
        console = ConsoleListener(
            say, lambda key: self._engine.registry.find(key), self._note_end, self._lent.refuse
        )
        async with one_vcenter(
            options.vcenter,
            options.settings,
            console,
            self._clock,
            stall_timeout=options.stall_timeout,
            client=self._client,
        ) as (self._engine, keeper):
            self._vcenter = keeper.vcenter
            self._tracker = tracker = SessionTracker(
                self._engine.registry,
                options.wanted,
                self._lent,
                self._clock,
                names_in(options.argv[1:]),
            )
            self._display.show(tracker, console)
            self._finder = SessionFinder(
                options.vcenter, keeper.vcenter, self._lent, self._timeout, self._first
            )
            try:
                await self._unless_interrupted(self._begin())
            except SearchError as error:
                say(f"{options.vcenter} cannot be asked for its sessions: {error}")
                say("the command was not started, because its sessions would not be kept alive")
                return UNAVAILABLE
            if self._interrupted_by is not None:
                return 128 + self._interrupted_by
            # From before the command to the end: ^Z is for the command while it runs, and for us
            # otherwise.
            stops = {} if is_ignored(signal.SIGTSTP) else {signal.SIGTSTP: self._asked_to_stop.set}
            with handled(stops):
                code = await self._run_command()
                others = tracker.let_go_others()
                if code == 0:
                    await self._settle()
            self._report(others)
            tracker.let_go_all()
            await self._report_items()
            return code

    async def _unless_interrupted(self, work: Coroutine[object, object, None]) -> None:
        """Await `work`, and abandon it once we are asked to end."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._interrupted.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.wait((task, stop))

    async def _begin(self) -> None:
        named = [
            SessionKey(self._options.vcenter, self._options.kind, each)
            for each in sorted(self._options.wanted.session_ids)
        ]
        for key in named:
            self._tracker.take(key)
        for tries in range(1, _BEGIN_TRIES + 1):
            try:
                await self._finder.begin(self._begin_timeout)
                break
            except SearchError:
                if tries == _BEGIN_TRIES:
                    raise
                await self._pause()
        await self._items.begin(self._begin_timeout)
        self._lent.say_at_start()
        await self._engine.renew(*named)

    async def _pause(self) -> None:
        """Wait until the next poll is due."""
        await sleep_until(self._clock, self._clock.boot() + self._poll_seconds)

    async def _run_command(self) -> int:
        lifetime = self._options.settings.session_timeout
        with running(
            self._options.argv,
            blocked_signals=self._options.blocked_signals,
            clock=self._clock,
            on_stopped=self._renew_before_stop,
            on_continued=self._renew_after_stop,
        ) as child:
            self._child = child
            self._display.attach(child.is_in_foreground)
            async with _background_tasks(
                search=self._watch_sessions(),
                progress=self._tracker.run(lifetime),
                token=self._lent.run(self._vcenter, lifetime, self._timeout, self._tracker.lend),
                display=self._display.run(),
            ):
                code = await child.wait()
            self._child = None
        async with _background_tasks(stops=self._stop_when_asked()):
            await self._unless_interrupted(self._poll_once_more())
        return code

    async def _renew_before_stop(self) -> None:
        self._display.pause()
        await self._engine.renew_all()

    async def _renew_after_stop(self, gap: float) -> None:
        """Renew all sessions after a stop of `gap` seconds."""
        shortest = self._tracker.shortest_lifetime()
        if shortest is not None and gap > shortest:
            self._display.say(
                f"stopped for {duration(gap)}, but sessions expire after {duration(shortest)} "
                "without activity; renewing those that are left"
            )
        await self._engine.renew_all()

    async def _watch_sessions(self) -> None:
        pause, is_silent = _FIRST_POLL_SECONDS, False  # silent: the vCenter lists no sessions
        while True:
            await sleep_until(self._clock, self._clock.boot() + min(pause, self._poll_seconds))
            found = await self._finder.appeared()
            for key in found:
                self._tracker.take(key)
            pause = _FIRST_POLL_SECONDS if found else pause * _POLL_GROWTH
            await self._say_what_is_kept()
            if self._finder.failed_looks >= _FAILED_LOOKS and not is_silent:
                self._was_silent = True
                self._display.say(
                    f"warning: {self._options.vcenter} cannot be asked for its sessions: "
                    f"{printable(self._finder.reason)}"
                )
            is_silent = self._finder.failed_looks >= _FAILED_LOOKS
            self._end_command_on_loss()

    async def _say_what_is_kept(self) -> None:
        """Name each session once, as soon as its item was read."""
        if not self._tracker.is_any_unnamed():
            return
        await self._tracker.read_files()
        for session, is_own in self._tracker.newly_named():
            why = ""
            if not is_own and self._options.wanted.items:
                why = " while the command runs: it may not belong to the command, by --item"
            elif not is_own:
                why = " (assumed yours; --item says so)"
            self._display.say(f"keeping {names([session])} alive{why}")

    async def _poll_once_more(self) -> None:
        """Find sessions opened since the last poll, and the present state of all of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_POLL_SECONDS):
                for key in await self._finder.appeared():
                    self._tracker.take(key)
                await self._engine.renew_all()
                await self._tracker.all_read()

    async def _settle(self) -> None:
        """Hold the command's own sessions until vCenter has processed them."""
        tracker = self._tracker
        waiting = tracker.unsettled()
        if not waiting or self._interrupted.is_set():
            return
        self._display.say(
            f"the command succeeded; waiting until vCenter has processed {names(waiting)}, for "
            f"at most {duration(self._options.settle)} (^C stops waiting)"
        )
        async with _background_tasks(
            renewals=self._renew_often(),
            progress=tracker.run(self._options.settings.session_timeout),
            stops=self._stop_when_asked(),
            display=self._display.run(),
        ):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.settle):
                    await self._unless_interrupted(tracker.all_settled())

    async def _renew_often(self) -> None:
        """Renew more often than the lifetime requires, since a user is waiting."""
        while True:
            await self._engine.renew(*(session.key for session in self._tracker.unsettled()))
            await self._pause()

    async def _stop_when_asked(self) -> None:
        """Stop on ^Z, after one more renewal."""
        asked = self._asked_to_stop
        self._display.attach(lambda: not asked.is_set() and has_foreground(_STDERR))
        while True:
            await asked.wait()
            since = self._clock.boot()
            await self._renew_before_stop()
            if has_foreground(_STDERR) or os.getpgrp() == os.getpid():
                stop_own_group(signal.SIGTSTP)
            asked.clear()
            await self._renew_after_stop(self._clock.boot() - since)

    def _note_end(self, end: SessionEnd) -> None:
        self._tracker.note_end(end)
        self._end_command_on_loss()

    def _end_command_on_loss(self) -> None:
        child = self._child if self._options.ends_on_loss else None
        is_lost = any(session.state.is_failure for session in self._tracker.own())
        if child is not None and not self._was_asked_to_end and is_lost:
            self._was_asked_to_end = True
            self._display.say("a session of the command was lost: sending SIGTERM to the command")
            child.forward(signal.SIGTERM)

    def _report(self, others: Sequence[Session]) -> None:
        say = self._display.say
        self._display.close()
        outcomes = self._tracker.outcomes()
        if outcomes:
            self._lent.say_at_end()
        else:
            say("no session of the command was found")
        for session in others:
            say(
                f"{names([session])} appeared while the command ran, but may not belong to it: it "
                "is left open (claim its item with --item)"
            )
        # Where items are named, sessions of other items are other users' business.
        for session in () if self._options.wanted.items else self._tracker.ended_others():
            say(
                f"{summary.what_became(session)}; it may not belong to the command (claim its "
                "item with --item)"
            )
        if self._was_silent:
            silent = duration(self._finder.silent_seconds(self._clock.boot()))
            say(
                f"{self._options.vcenter} could not be asked for its sessions for {silent}: "
                f"{printable(self._finder.reason)}"
            )
        for outcome in outcomes:
            say(summary.line(outcome))
        for key in (each.session.key for each in outcomes if summary.is_left_open(each.session)):
            kind = () if key.kind is Kind.UPDATE else ("--kind", key.kind.value)
            command = shlex.join((*self._options.cancel_command, *kind, key.id))
            say(f"left open on the server; to cancel it: {command}")

    async def _report_items(self) -> None:
        """Say of each item that the user named whether it arrived."""
        arrived = {
            item_name(each.session)
            for each in self._tracker.outcomes()
            if each.session.ending is not None and each.session.ending.content_moved
        }
        for name in self._items.names:
            after = await self._items.look(name, self._timeout)
            self._display.say(
                self._items.sentence(
                    name, after, self._options.vcenter, has_arrived=name in arrived
                )
            )


@asynccontextmanager
async def _background_tasks(**work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run these named tasks while the block runs; an exception in one of them ends the block."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(each, name=name) for name, each in work.items()]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
