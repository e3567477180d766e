"""Run the probe: the steps of `clkeepalived probe`.

1. begin     log in, find or create the library
2. create    a scratch item with a session for each trial
3. try       all trials at once, see trials.py
4. clean up  always, also after errors and interrupts
5. report    the findings, the advice, and objects that could not be removed
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from keepalived.host.clock import Clock
from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from keepalived.probe.advice import advise
from keepalived.probe.display import ProbeDisplay
from keepalived.probe.findings import about, findings
from keepalived.probe.notes import Notes, Trial
from keepalived.probe.report import Names, Report
from keepalived.probe.scratch import Left, ProbeError, Scratch, ScratchItem
from keepalived.probe.trials import TrialPace, Trials
from keepalived.settings import VCenterSettings
from keepalived.settings.durations import format_duration
from keepalived.vcenter.connect import connect
from keepalived.vcenter.library_admin import LibraryAdmin
from keepalived.vcenter.transport import UploadTransport

T = TypeVar("T")

_REQUEST_SECONDS = 20.0
_EXPECTED = 1.3


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The user's options. `limit`, in seconds, is how long an untouched session is watched.

    With `datastore`, an id, the library is created there, and removed at the end.
    """

    vcenter: str
    settings: VCenterSettings
    library: str
    datastore: str | None
    limit: float
    version: str


class Probe:
    """One run on one vCenter. `run` may be called once.

    To interrupt it, cancel the task that runs it, once: it removes everything and returns.
    """

    def __init__(
        self, options: ProbeOptions, transport: UploadTransport, clock: Clock, display: ProbeDisplay
    ) -> None:
        settings = options.settings
        self._options = options
        self._clock = clock
        self._display = display
        self._timeout = settings.request_timeout or _REQUEST_SECONDS
        self._client = connect(options.vcenter, settings, clock, transport)
        self._admin = LibraryAdmin(self._client, transport, settings, self._timeout)
        self._scratch = Scratch(self._client, self._admin, self._timeout)
        self._notes = Notes()
        self._dialect = ""

    async def run(self) -> Report:
        """Carry out all trials, remove everything, and return the report."""
        began, began_at = self._clock.boot(), self._clock.wall()
        failure: ProbeError | None = None
        is_interrupted = False
        try:
            try:
                await self._try_all()
            except asyncio.CancelledError:
                _forget_cancellation()
                is_interrupted = True
            except ProbeError as error:
                failure = error
        finally:
            self._display.close()
            self._display.say("removing the scratch items")
            left, was_hurried = await _complete(self._clean_up())
        options, notes = self._options, self._notes
        found = findings(notes)
        configured = options.settings.session_timeout
        return Report(
            version=options.version,
            names=Names(options.vcenter, options.settings.url, options.library),
            dialect=self._dialect,
            began_at=began_at,
            took=self._clock.boot() - began,
            configured=configured,
            limit=options.limit,
            notes=notes,
            findings=found,
            advice=advise(notes, found, configured),
            left=left,
            is_interrupted=is_interrupted or was_hurried,
            failure="" if failure is None else str(failure),
            outcome=None if failure is None else failure.outcome,
        )

    async def _try_all(self) -> None:
        await self._begin()
        items = {trial: await self._scratch.make_item(trial.slug) for trial in Trial}
        pace = await self._pace(items[Trial.GET])
        trials = Trials(
            self._client,
            self._admin,
            self._scratch,
            self._notes,
            self._clock,
            pace,
            self._timeout,
            self._display.show,
        )
        async with asyncio.TaskGroup() as tasks:
            showing = tasks.create_task(self._display.run(), name="display")
            await trials.run(items)
            showing.cancel()

    async def _begin(self) -> None:
        options = self._options
        answer = await self._client.who_am_i(timeout=self._timeout)
        if answer.outcome is not Outcome.OK:
            message = f"{options.vcenter} cannot be used: {answer.detail or answer.outcome}"
            raise ProbeError(message, answer.outcome)
        token = await self._client.token(timeout=self._timeout)
        self._dialect = "" if token is None else token.dialect.name
        if options.datastore is None:
            await self._scratch.use_library(options.library)
        else:
            await self._scratch.make_library(options.library, options.datastore)

    async def _clean_up(self) -> tuple[Left, ...]:
        left = await self._scratch.clean_up()
        await self._client.close(timeout=self._timeout)
        return tuple(left)

    async def _pace(self, item: ScratchItem) -> TrialPace:
        """Read the announced lifetime of a session, and return the pace for it."""
        limit = self._options.limit
        got = await self._client.get(Kind.UPDATE, item.session_id, timeout=self._timeout)
        lifetime = self._options.settings.session_timeout
        if got.value is not None and got.value.lifetime_left is not None:
            lifetime = self._notes.announced = max(0.0, got.value.lifetime_left)
        expected = _EXPECTED * min(lifetime, limit)
        self._display.say(
            f"trying {len(Trial)} sessions on scratch items in {self._options.library!r}; this "
            f"takes about {about(expected)} (^C stops and removes the items)"
        )
        if lifetime > limit:
            self._display.say(
                f"the announced lifetime is {about(lifetime)}, but sessions are watched for only "
                f"{format_duration(limit)}: to find out what keeps them alive, use a longer "
                f"--limit, such as {format_duration(60 * (1 + int(1.1 * lifetime / 60)))}"
            )
        self._display.begin(list(Trial), expected)
        return TrialPace.for_lifetime(lifetime, limit)


async def _complete(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Finish a coroutine despite cancellation; return its result, and whether it was cancelled."""
    task, was_cancelled = asyncio.create_task(work, name="cleanup"), False
    while True:
        try:
            return await asyncio.shield(task), was_cancelled
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            _forget_cancellation()
            was_cancelled = True


def _forget_cancellation() -> None:
    """Reset this task's cancellation, so that the code that follows runs normally."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
