"""The trials: the requests on each scratch session, and the observations.

All run at the same time. The untouched session is the control: the others go on until it is gone
and they have lived clearly longer, or until it is known that it does not expire within the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from keepalived.host.clock import Clock, sleep_until
from keepalived.lease.answers import Answer, Outcome, SessionInfo
from keepalived.lease.model import Kind
from keepalived.probe.findings import proof_age
from keepalived.probe.list_poller import ListPoller
from keepalived.probe.notes import Notes, Reaction, Sample, Shift, Span, Trial, Trouble
from keepalived.probe.scratch import Scratch, ScratchItem
from keepalived.probe.upload import FILE_NAME, SlowUpload
from keepalived.settings.durations import format_duration
from keepalived.vcenter.client import Client
from keepalived.vcenter.library_admin import LibraryAdmin

_WATCHED_POLLS = 6
_PROGRESS, _LESS_PROGRESS = 50, 40
_TRIES = 3
_TICK = 0.001
_SILENCE_SECONDS = 60.0


class TrialFailed(Exception):
    """A trial cannot go on; `trouble` says why."""

    def __init__(self, message: str, answer: Answer[Any] | None = None) -> None:
        if answer is not None:  # without the server's text or names
            status = "" if answer.status is None else f" (HTTP {answer.status})"
            kind = f"{answer.error_type or answer.outcome.value}{status}".replace("_", " ")
            message = f"{message}: {kind}"
        self.trouble = Trouble(message, "" if answer is None else answer.detail)
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class TrialPace:
    """The intervals of a trial, in seconds, for an approximate lifetime.

    `limit` is how long the untouched session is watched at most.
    """

    poll: float
    list: float
    renew: float
    piece: float
    limit: float

    @classmethod
    def for_lifetime(cls, lifetime: float, limit: float) -> TrialPace:
        """Return the pace for a lifetime, of which at most `limit` seconds are observed."""
        base = min(lifetime, limit)
        return cls(
            # Not in whole seconds, to sample the server's whole seconds at different fractions.
            poll=_between(0.25, base / 20, 9.7),
            list=_between(0.1, base / 100, 3.0),
            renew=base / 6,
            piece=_between(0.1, base / 150, 1.0),
            limit=limit,
        )


def _between(least: float, value: float, most: float) -> float:
    return max(least, min(value, most))


@dataclass(eq=False)
class Trials:
    """The trials of one run, each on its own item."""

    client: Client
    admin: LibraryAdmin
    scratch: Scratch
    notes: Notes
    clock: Clock
    pace: TrialPace
    timeout: float
    show: Callable[[Trial, str], None]

    def __post_init__(self) -> None:
        self._list_poller = ListPoller(
            self.client, self.clock, lambda: self.pace.list, self.timeout
        )
        self._is_control_known = asyncio.Event()

    async def run(self, items: dict[Trial, ScratchItem]) -> None:
        """Carry out all trials, and record observations as they are made."""
        trials = {
            Trial.UNTOUCHED: self._leave_untouched,
            Trial.GET: self._poll_at_intervals,
            Trial.KEEP_ALIVE: self._keep_alive,
            Trial.PUT: self._put,
            Trial.WATCHED_PUT: self._put_and_poll,
            Trial.PROGRESS: self._report_progress,
        }
        async with asyncio.TaskGroup() as around:
            polling = around.create_task(self._list_poller.run(), name="list poller")
            async with asyncio.TaskGroup() as tasks:
                for trial, item in items.items():
                    carrying_out = self._carry_out(trial, trials[trial](item))
                    tasks.create_task(carrying_out, name=f"trial: {trial}")
            polling.cancel()

    async def _carry_out(self, trial: Trial, trying: Coroutine[object, object, None]) -> None:
        try:
            await trying
        except TrialFailed as error:
            self.notes.troubles[trial] = error.trouble
            self.show(trial, f"not measured: {error.trouble.detail or error}")
        finally:
            if trial is Trial.UNTOUCHED:
                self._is_control_known.set()

    async def _leave_untouched(self, item: ScratchItem) -> None:
        """Watch only the list of sessions, until the session is no longer on it."""
        notes, until = self.notes, item.opened_until + self.pace.limit
        notes.watched_for = self.pace.limit
        while (
            self._list_poller.missed(item.session_id) is None and until - self.clock.boot() > _TICK
        ):
            seen = self._list_poller.last_seen(item.session_id)
            if seen is not None:
                self.show(Trial.UNTOUCHED, f"still there after {_since(item.opened_from, seen)}")
            if self._list_poller.silent_for > _SILENCE_SECONDS:
                raise TrialFailed(f"no answer for {format_duration(_SILENCE_SECONDS)}")
            await self._sleep(min(self.pace.list, until - self.clock.boot()))
        got = await self._get(item.session_id)
        notes.untouched = self._span(item.session_id, got, item.opened_from, item.opened_until)
        self.show(Trial.UNTOUCHED, _lived(notes.untouched))

    async def _poll_at_intervals(self, item: ScratchItem) -> None:
        """GET the session at intervals, and do nothing else with it."""
        notes = self.notes
        first: tuple[float, float] | None = None
        while True:
            got = await self._get(item.session_id)
            span = self._span(item.session_id, got, item.opened_from, item.opened_until)
            notes.got = span
            self.show(Trial.GET, _lived(span))
            info = got.value
            if info is not None and info.expires_at is not None and not span.has_ended:
                first = first or (info.expires_at, got.sent_at)
                notes.get_shift = Shift(info.expires_at - first[0], got.sent_at - first[1])
                if info.expires_at == first[0] and info.lifetime_left is not None:
                    age = got.sent_at - item.opened_until
                    announced = info.lifetime_left + max(0.0, age)
                    notes.announced = min(announced, notes.announced or announced)
            if span.has_ended or self._is_enough(item.opened_from):
                return
            await self._sleep(self.pace.poll)

    async def _keep_alive(self, item: ScratchItem) -> None:
        """Keep the session alive; GET it only at the beginning and at the end."""
        before = await self._get(item.session_id)
        while not self._is_enough(item.opened_from):
            pause = self.pace.poll if self.notes.kept is None else self.pace.renew
            if await self._is_enough_within(pause, item.opened_from):
                break
            answer = await self.client.keep_alive(
                Kind.UPDATE, item.session_id, None, timeout=self.timeout
            )
            if self.notes.kept is None:
                after = await self._get(item.session_id)
                self.notes.keep_alive_shift = _shift(before, after)
                self.notes.kept = Span(0.0)
            if answer.outcome in (Outcome.NOT_FOUND, Outcome.NOT_ALLOWED):
                break
            age = _since(item.opened_from, answer.sent_at)
            self.show(Trial.KEEP_ALIVE, f"keep-alive after {age}: {_describe(answer)}")
        got = await self._get(item.session_id)
        self.notes.kept = self._span(item.session_id, got, item.opened_from, item.opened_until)
        self.show(Trial.KEEP_ALIVE, _lived(self.notes.kept))

    async def _put(self, item: ScratchItem) -> None:
        """Send content slowly, and do nothing else with the session meanwhile."""
        upload = self._upload(2 * self.pace.limit)
        try:
            asked = self.clock.boot()
            uri = await self._add_file(item, upload.size)
            began = self.clock.boot()
            upload.begin(uri)
            while not (
                upload.is_over
                or self._list_poller.missed(item.session_id) is not None
                or self._is_enough(began)
            ):
                self.show(Trial.PUT, f"sending for {_since(began, self.clock.boot())}")
                await self._sleep(self.pace.list)
            was_cut, stopped = upload.is_over, self.clock.boot()
            end = await upload.finish()
        finally:
            await upload.stop()
        self.notes.put_end = None if end is None else Reaction.of(end)
        got = await self._get(item.session_id)
        span = self._span(item.session_id, got, asked, began)
        if was_cut and not span.has_ended:
            raise TrialFailed(f"the PUT was cut off after {_since(began, stopped)}", end)
        self.notes.put = span if span.has_ended else Span(stopped - began)
        self.show(Trial.PUT, _lived(self.notes.put))

    async def _put_and_poll(self, item: ScratchItem) -> None:
        """Send content slowly, and GET the session and its file meanwhile."""
        notes, upload = self.notes, self._upload(60 * self.pace.poll)
        try:
            upload.begin(await self._add_file(item, upload.size))
            began = self.clock.boot()
            first: Answer[SessionInfo] | None = None
            for _ in range(_WATCHED_POLLS):
                await self._sleep(self.pace.poll)
                if upload.is_over:
                    raise TrialFailed("the PUT was cut off", await upload.finish())
                got = await self._get(item.session_id)
                first = first or got
                notes.put_shift = _shift(first, got)
                sent = upload.sent
                reported = await self._bytes_reported(item.session_id)
                if reported is not None:
                    notes.bytes_sent = sent
                    notes.samples += (Sample(self.clock.boot() - began, reported),)
                    self.show(Trial.WATCHED_PUT, f"{reported} of {sent} bytes sent were reported")
            await upload.finish()
            notes.bytes_after = await self._bytes_reported(item.session_id)
            self.show(Trial.WATCHED_PUT, f"{notes.bytes_after} bytes were reported at the end")
        finally:
            await upload.stop()

    async def _report_progress(self, item: ScratchItem) -> None:
        """Report rising, equal and falling progress; then request a second session on the item."""
        notes = self.notes

        async def report(progress: int) -> Reaction | None:
            answer = await self.client.keep_alive(
                Kind.UPDATE, item.session_id, progress, timeout=self.timeout
            )
            self.show(Trial.PROGRESS, f"{progress} %: {_describe(answer)}")
            return Reaction.of(answer)

        notes.rising = await report(_PROGRESS)
        notes.equal = await report(_PROGRESS)
        notes.lower = await report(_LESS_PROGRESS)
        got = await self._get(item.session_id)
        if got.value is not None:
            notes.progress_after = got.value.client_progress or 0
        second = await self.scratch.open_session(item)
        notes.second = Reaction.of(second)
        self.show(Trial.PROGRESS, f"a second session: {_describe(second)}")

    async def _is_enough_within(self, seconds: float, since: float) -> bool:
        """Sleep for `seconds`, or until the trial has shown enough; return whether it has."""
        until = self.clock.boot() + seconds
        while not self._is_enough(since) and until - self.clock.boot() > _TICK:
            await self._sleep(min(self.pace.list, until - self.clock.boot()))
        return self._is_enough(since)

    def _is_enough(self, since: float) -> bool:
        """Whether the session active last at `since` has lived long enough for a finding."""
        if not self._is_control_known.is_set():
            return False
        control = self.notes.untouched
        if control is None or not control.has_ended:
            return True
        return self.clock.boot() - since >= proof_age(control)

    def _span(
        self, session_id: str, got: Answer[SessionInfo], began: float, began_until: float
    ) -> Span:
        """Return how long a session lived, from an answer to `get` and from the list."""
        info = got.value
        if info is not None and info.state == "ACTIVE":
            return Span(max(0.0, got.sent_at - began_until))
        seen = self._list_poller.last_seen(session_id)
        if info is None and got.outcome is not Outcome.NOT_FOUND:
            raise TrialFailed("the session cannot be read", got)
        missed = self._list_poller.missed(session_id)
        return Span(
            max(0.0, (seen or began_until) - began_until),
            min(got.received_at, missed or got.received_at) - began,
            "" if info is None else info.state,
        )

    async def _get(self, session_id: str) -> Answer[SessionInfo]:
        """GET a session, with a few retries on failure."""
        for _ in range(_TRIES - 1):
            answer = await self.client.get(Kind.UPDATE, session_id, timeout=self.timeout)
            if answer.value is not None or answer.outcome is Outcome.NOT_FOUND:
                return answer
            await self._sleep(self.pace.poll)
        return await self.client.get(Kind.UPDATE, session_id, timeout=self.timeout)

    async def _bytes_reported(self, session_id: str) -> int | None:
        answer = await self.client.files(Kind.UPDATE, session_id, timeout=self.timeout)
        files = [each for each in answer.value or () if each.name == FILE_NAME]
        return files[0].bytes_transferred if files else None

    async def _add_file(self, item: ScratchItem, size: int) -> str:
        answer = await self.admin.add_file(item.session_id, FILE_NAME, size)
        if answer.value is None:
            raise TrialFailed("cannot add a file", answer)
        return answer.value

    def _upload(self, longest: float) -> SlowUpload:
        return SlowUpload(self.admin, self.pace.piece, longest)

    async def _sleep(self, seconds: float) -> None:
        await sleep_until(self.clock, self.clock.boot() + seconds)


def _shift(first: Answer[SessionInfo], last: Answer[SessionInfo]) -> Shift | None:
    if first.value is None or last.value is None:
        return None
    earlier, later = first.value.expires_at, last.value.expires_at
    if earlier is None or later is None:
        return None
    return Shift(later - earlier, last.sent_at - first.sent_at)


def _since(began: float, now: float) -> str:
    return format_duration(round(max(0.0, now - began)))


def _lived(span: Span) -> str:
    if span.most is None:
        return f"ACTIVE after {format_duration(round(span.least))}"
    return f"{span.state or 'gone'} after {format_duration(round(span.most, 1))}"


def _describe(answer: Answer[Any]) -> str:
    if answer.outcome is Outcome.OK:
        return "accepted"
    return answer.detail or answer.outcome.value
