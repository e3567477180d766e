"""One run of the attack: hold, attack, rest, kill, restart, and judge the result."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.attack.channel import Child, Message, child
from benchmarks.attack.site import (
    BROKEN_CONFIGURATIONS,
    LIFETIME,
    a_site,
    configuration,
    replaced_by_a_pipe,
    running,
    users,
)
from benchmarks.attack.talk import Caller
from benchmarks.attack.verdict import (
    MEMORY_AIM,
    Service,
    Stops,
    judge_attacks,
    judge_kept,
    judge_lost,
    judge_memory,
    judge_stops,
)
from benchmarks.findings import Finding
from benchmarks.folder import write
from benchmarks.soak.verdict import MIB

_BY_CONFIGURATION = 100
_BY_USERS = 100
_LENT = 20
"""Share of the users' sessions that are held with a lent token."""

_HELD_THERE = tuple(f"bad-{number}" for number in range(20))
_SETTLE_SECONDS = 10.0
_PROGRESS_SECONDS = 10.0
_REST_LEAST, _REST_MOST = 20.0, 60.0
_RELOAD_SECONDS = 2.0
_HELD_SECONDS = 120.0
_MOST_SHOWN = 20

_AS_ONESELF = (
    "not run by root: attackers run as the daemon's user with all its rights; access checks and "
    "limits for each user are not tested"
)
ATTACKERS = ("answers", "files", "requests", "users", "reloads")
_NOTICED = {"answers": "renewal_failed", "files": "source_failed", "reloads": "reload_failed"}
"""The log events that attacks cause, by attacker."""


class Run:
    """One run. `folder` is empty, and is removed afterwards."""

    def __init__(
        self,
        folder: Path,
        minutes: float,
        seed: int,
        stacks: Path | None,
        attackers: Collection[str] = ATTACKERS,
    ) -> None:
        self.site = a_site(folder, users(), stacks)
        self._minutes = minutes
        self._seed = seed
        self._service = Service()
        self._acknowledged: dict[str, None] = {}
        self._released: set[str] = set()
        self._wanted: asyncio.Queue[Message] = asyncio.Queue()
        self._is_attacking = asyncio.Event()
        self._chosen = attackers
        self._ours: list[str] = []
        self._attackers: dict[str, Child] = {}
        self._reloads: Counter[str] = Counter()
        events = (event for attacker, event in _NOTICED.items() if attacker in attackers)
        self._noticed = Counter(dict.fromkeys(events, 0))
        self._stops = (Stops(), Stops())
        self._memory: list[tuple[float, float]] = []
        self._complaints: list[str] = []

    async def carry_out(self) -> list[Finding]:
        """Carry out the run, and return the findings."""
        site = self.site
        async with AsyncExitStack() as stack:
            vcenter, honest = await stack.enter_async_context(
                _server("vcenter", {"lifetime": LIFETIME})
            )
            rubbish, hostile = await stack.enter_async_context(
                _server("rubbish", {"seed": self._seed, "held": _HELD_THERE})
            )
            if "answers" in self._chosen:
                self._attackers["answers"] = rubbish
            self._ours = await vcenter.ask({"open": _BY_CONFIGURATION})
            held = [("lab", each) for each in self._ours] + [("bad", each) for each in _HELD_THERE]
            good = configuration(site, site.attacked, honest, hostile["url"], held)
            write(site.attacked.config, good)
            write(site.idle.config, configuration(site, site.idle, honest))
            for daemon in (site.idle, site.attacked):
                daemon.know_password(honest["password"])
                await stack.enter_async_context(running(daemon))
            before = await self._under_attack(vcenter, rubbish, good)
            if site.attacked.has_ended:
                self._complaints.append(f"the daemon ended by itself: {site.attacked.exit_code}")
            else:
                await self._rest(before)
            after = site.attacked.memory()
            kept = await self._after_a_kill()
            # Sessions lost by the restart show within a lifetime.
            await asyncio.sleep(1.2 * LIFETIME)
            answer = await vcenter.ask({"ended": True})
        self._complain()
        return self._judge(answer["ended"], before, after, kept)

    def record(self) -> dict[str, Any]:
        """Return the data of the run that is recorded along with its findings."""
        attacked, idle = self._stops
        return {
            "minutes": self._minutes,
            "other_users": self.site.users.are_others,
            "attacks": {
                **{name: dict(each.counts) for name, each in self._attackers.items()},
                "reloads": dict(self._reloads),
            },
            "noticed": dict(self._noticed),
            "stops": {"attacked": attacked.as_dict(), "idle": idle.as_dict()},
            "memory": self._memory,
        }

    # -- the parts of a run

    async def _under_attack(self, vcenter: Child, rubbish: Child, good: str) -> int:
        """Attack while honest users work; return the memory in bytes before the attack."""
        site = self.site
        place = {"http": site.attacked.address, "control": str(site.attacked.socket)}
        order = {**site.users.honest.order, **place}
        async with AsyncExitStack() as stack:
            people = await stack.enter_async_context(
                child("benchmarks.attack.honest", order, self._hear)
            )
            feeding = asyncio.create_task(self._feed(vcenter, people), name="sessions to hold")
            stack.callback(feeding.cancel)
            await self._until_held()
            print(self._title(), flush=True)
            await asyncio.sleep(_SETTLE_SECONDS)
            before = site.attacked.memory()
            for daemon in (site.attacked, site.idle):
                daemon.signal(signal.SIGUSR1)
            self._is_attacking.set()
            rubbish.send({"is_hostile": "answers" in self._chosen})
            await self._attack(place, good)
            rubbish.send({"is_hostile": False})
        return before

    async def _attack(self, place: Mapping[str, object], good: str) -> None:
        """Run all attackers at once for the given time, and measure the loops' stops."""
        site = self.site
        who = site.users
        common = {**place, "targets": self._ours, "seed": self._seed}
        folders = {"folder": str(site.watched), "own": str(site.of_attacker)}
        orders = {
            "files": {**common, **who.of_files.order, **folders},
            "requests": {**common, **who.of_requests.order},
            "users": {**common, **who.hostile.order, "is_admin": not who.are_others},
        }
        over = asyncio.Event()
        async with AsyncExitStack() as stack:
            for name in orders.keys() & self._chosen:
                self._attackers[name] = await stack.enter_async_context(
                    child(f"benchmarks.attack.hostile_{name}", orders[name])
                )
            async with asyncio.TaskGroup() as tasks:
                if "reloads" in self._chosen:
                    tasks.create_task(self._reload(good, over), name="reloads")
                await self._watch()
                over.set()
            self._stops = (await site.attacked.stops(), await site.idle.stops())

    async def _watch(self) -> None:
        """Print the progress at intervals until the attack is over."""
        site = self.site
        began = time.monotonic()
        until = began + 60 * self._minutes
        while (now := time.monotonic()) < until and not site.attacked.has_ended:
            await asyncio.sleep(min(_PROGRESS_SECONDS, until - now))
            attacked, idle = await site.attacked.stops(), await site.idle.stops()
            passed, memory = time.monotonic() - began, site.attacked.memory() / MIB
            self._memory.append((round(passed, 1), round(memory, 1)))
            attacks = sum(each.counts.total() for each in self._attackers.values())
            answers, refused = len(self._service.took), len(self._service.trouble)
            cpu = site.attacked.cpu_seconds()
            print(
                f"[{passed:4.0f} s] {attacks:,} attacks; honest: {answers:,} answers, "
                f"{refused} refused; longest stop {_milliseconds(attacked)}, "
                f"idle {_milliseconds(idle)}; {memory:.0f} MiB, {cpu:.0f} s CPU",
                flush=True,
            )

    async def _reload(self, good: str, over: asyncio.Event) -> None:
        """Reload broken configurations, and then the good one again."""
        site = self.site
        config, broken = site.attacked.config, cycle(BROKEN_CONFIGURATIONS)
        names = ("broken configurations", "a pipe as configuration", "a pipe as password file")
        self._reloads.update(dict.fromkeys(names, 0))
        for name in cycle(names):
            if over.is_set():
                break
            if name == names[0]:
                write(config, next(broken))
                await self._reread(over)
                write(config, good)
            else:
                with replaced_by_a_pipe(config if name == names[1] else site.password_file):
                    await self._reread(over)
            self._reloads[name] += 1
            await self._reread(over)

    async def _reread(self, over: asyncio.Event) -> None:
        self.site.attacked.signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(_RELOAD_SECONDS):
                await over.wait()
        except TimeoutError:
            return

    async def _rest(self, before: int) -> None:
        """Wait until the attackers' sessions are forgotten and memory is released."""
        site = self.site
        held = {*self._ours, *_HELD_THERE, *self._kept_by_others}
        print(f"attackers have stopped; resting until {len(held)} sessions are left", flush=True)
        began = time.monotonic()
        more: list[str] = []
        while time.monotonic() < began + _REST_MOST:
            more = [
                f"{each['vcenter']}/{each['id']} {each['state']} {each['holds'][:1]}"
                for each in await self._sessions()
                if each["id"] not in held
            ]
            is_small = site.attacked.memory() <= before + MEMORY_AIM
            if not more and is_small and time.monotonic() >= began + _REST_LEAST:
                return
            await asyncio.sleep(1.0)
        if more:
            self._complaints.append(
                f"{len(more)} more sessions are known after the rest: {more[:3]}"
            )

    async def _after_a_kill(self) -> set[str]:
        """Kill the daemon and restart it; return the sessions that honest users then hold."""
        daemon = self.site.attacked
        await daemon.kill()
        seconds = await daemon.start()
        print(f"killed, and ready again after {seconds:.1f} s", flush=True)
        return {
            each["id"]
            for each in await self._sessions()
            if any(hold["note"] == "an upload" for hold in each["holds"])
        }

    # -- honest users

    @property
    def _kept_by_others(self) -> list[str]:
        """The holds acknowledged to honest users during the attack and not released since."""
        ours = set(self._ours)
        return [each for each in self._acknowledged if each not in ours | self._released]

    def _hear(self, message: Message) -> None:
        if "wants" in message:
            self._wanted.put_nowait(message)
        elif "acknowledged" in message:
            self._acknowledged[message["acknowledged"]] = None
        elif "releasing" in message:
            self._released.add(message["releasing"])
        elif "took" in message:
            if self._is_attacking.is_set():
                self._service.took.append((message["took"], message["what"]))
        elif "trouble" in message:
            self._service.trouble.append(message["trouble"])

    async def _feed(self, vcenter: Child, people: Child) -> None:
        """Open a session for each request of a user; the first ones are held throughout."""
        tokens = await vcenter.ask({"tokens": _LENT})
        for number in range(_BY_USERS):
            await self._wanted.get()
            (session_id,) = await vcenter.ask({"open": 1})
            self._ours.append(session_id)
            token = tokens[number] if number < _LENT else None
            people.send({"id": session_id, "token": token, "may_release": False})
        await self._is_attacking.wait()
        while True:
            await self._wanted.get()
            (session_id,) = await vcenter.ask({"open": 1})
            people.send({"id": session_id, "may_release": True})

    async def _until_held(self) -> None:
        """Wait until all sessions have been renewed at least once."""
        wanted = _BY_CONFIGURATION + _BY_USERS
        async with asyncio.timeout(_HELD_SECONDS):
            while True:
                sessions = await self._sessions()
                active = {each["id"] for each in sessions if each["state"] == "ACTIVE"}
                if len(self._ours) == wanted and active.issuperset(self._ours):
                    return
                await asyncio.sleep(0.5)

    async def _sessions(self) -> list[dict[str, Any]]:
        """Return all sessions from the control API, requested by the daemon's own user."""
        caller = Caller(self.site.attacked.socket)
        try:
            answer = await caller.send("GET", "/v1/sessions")
        finally:
            caller.close()
        found: list[dict[str, Any]] = json.loads(answer.body)["sessions"]
        return found

    # -- what came of it

    def _title(self) -> str:
        who = "attackers are other users" if self.site.users.are_others else _AS_ONESELF
        return f"{len(self._ours)} sessions are held; attacking for {self._minutes:g} min; {who}"

    def _complain(self) -> None:
        """Search the log for errors that must not occur."""
        site = self.site
        self._complaints += [*site.attacked.complaints, *site.idle.complaints]
        for event in site.attacked.events():
            name, source = str(event.get("event")), str(event.get("source", site.watched))
            if name in self._noticed and source.startswith(str(site.watched)):
                self._noticed[name] += 1
            if "exception" in event:
                self._complaints.append(f"{event['event']}: {event['exception']}")
        for line in (*self._service.trouble, *self._complaints)[:_MOST_SHOWN]:
            print(line, file=sys.stderr)

    def _judge(
        self, ended: Mapping[str, str], before: int, after: int, kept: set[str]
    ) -> list[Finding]:
        gone = self._released | ended.keys()
        still_held = [each for each in self._acknowledged if each not in gone]
        code = self.site.attacked.exit_code
        return [
            judge_lost("sessions lost", self._ours, ended),
            judge_lost("sessions lost of honest users", self._kept_by_others, ended),
            judge_stops(*self._stops),
            judge_memory(before, after),
            judge_kept(still_held, kept),
            self._service.judge(),
            *(
                judge_attacks(f"hostile {who}", each.counts)
                for who, each in self._attackers.items()
            ),
            *([judge_attacks("hostile reloads", self._reloads)] if self._reloads else []),
            *([judge_attacks("the daemon's log", self._noticed)] if self._noticed else []),
            Finding("complaints", str(len(self._complaints)), "0", not self._complaints),
            Finding("exit code of the daemon", str(code), "0", code == 0),
        ]


@asynccontextmanager
async def _server(name: str, order: Mapping[str, Any]) -> AsyncIterator[tuple[Child, Message]]:
    """Run a helper that serves; yield it with its first message."""
    messages: asyncio.Queue[Message] = asyncio.Queue()
    async with child(f"benchmarks.attack.{name}", order, messages.put_nowait) as helper:
        yield helper, await messages.get()


def _milliseconds(stops: Stops) -> str:
    return f"{1000 * stops.longest:.0f} ms (own {1000 * stops.own:.0f} ms)"
