"""The faults: one entry for each row of the table.

A fault strikes every contender in its own lane. A fault with a duration begins at the contender's
next keep-alive, since an outage between two keep-alives has no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Flag, auto
from urllib.parse import urlsplit

from benchmarks.survive.lanes import Lane, bridgeable, new_authority
from benchmarks.survive.world import World
from keepalived.simulator.faults import Effect, Fail, Hang, Latency, Reset

Strike = Callable[[Lane, World], Awaitable[None]]

RETRY_AFTER = 2.0


class Needs(Flag):
    """Requirements of a row beyond two cores and Python."""

    NOTHING = 0
    NAMESPACES = auto()
    """Root, to create namespaces."""
    CLOCK = auto()
    """A C compiler, for a library that steps the clock of one process."""


async def _calm(_lane: Lane, _world: World) -> None:
    """Do nothing."""


def _down(share: float) -> Strike:
    async def strike(lane: Lane, _world: World) -> None:
        await lane.meet(Reset())
        lane.simulator.restart(down_seconds=share * bridgeable(lane.lifetime))

    return strike


def _all_meet(effect: Effect, share: float) -> Strike:
    """Apply the effect to every request, for a share of the longest bridgeable outage."""

    async def strike(lane: Lane, _world: World) -> None:
        await lane.meet(effect)
        lane.simulator.faults.add(effect, seconds=share * bridgeable(lane.lifetime))

    return strike


async def _forget_tokens(lane: Lane, _world: World) -> None:
    lane.simulator.restart(lose_tokens=True, down_seconds=0.1 * lane.lifetime)


async def _idle_tokens(lane: Lane, _world: World) -> None:
    lane.simulator.logins.idle_timeout = 0.3 * lane.lifetime


async def _old_tokens(lane: Lane, _world: World) -> None:
    lane.simulator.logins.max_age = 0.6 * lane.lifetime


async def _resets(lane: Lane, _world: World) -> None:
    lane.simulator.faults.add(Reset(), every=3)


def _slow(share: float) -> Strike:
    async def strike(lane: Lane, _world: World) -> None:
        lane.simulator.faults.add(Latency(share * lane.lifetime))

    return strike


async def _no_names(lane: Lane, world: World) -> None:
    world.forget_name(urlsplit(lane.contender.task.url).hostname or "")
    lane.simulator.restart()


async def _other_certificate(lane: Lane, _world: World) -> None:
    contender = lane.contender
    contender.write(contender.task.ca_file, new_authority(lane.tls))
    lane.simulator.restart()


async def _other_password(lane: Lane, _world: World) -> None:
    simulator, contender = lane.simulator, lane.contender
    simulator.password = "rotated"  # noqa: S105 - guards nothing
    simulator.logins.add_user(simulator.username, simulator.password)
    simulator.restart(lose_tokens=True)
    await asyncio.sleep(0.1 * lane.lifetime)
    contender.write(contender.task.password_file, simulator.password.encode())


async def _kill(lane: Lane, _world: World) -> None:
    await lane.meet(Reset())
    if lane.contender.program is not None:
        lane.contender.program.kill()


def _clock_step(seconds: int) -> Strike:
    async def strike(lane: Lane, world: World) -> None:
        world.step_clock(lane.contender.task.folder, seconds)

    return strike


async def _freeze(lane: Lane, _world: World) -> None:
    await lane.slack_comes_to(0.6)
    program = lane.contender.program
    if program is not None:
        program.freeze()
        await asyncio.sleep(lane.lifetime / 2)
        program.thaw()


async def _disk_full(lane: Lane, world: World) -> None:
    if world.is_own:
        world.fill(lane.contender.task.folder)
    elif lane.contender.program is not None:
        lane.contender.program.take_its_disk()


async def _shorter(lane: Lane, _world: World) -> None:
    lane.simulator.library.behaviour.session_timeout = lane.lifetime / 3


async def _one_fails(lane: Lane, _world: World) -> None:
    sick = lane.uploads[0].session_id
    lane.simulator.faults.add(Fail(500), route="*.keep_alive", session_id=sick)


@dataclass(frozen=True)
class Fault:
    """A row: its name on the command line, its title in the table, and its effect.

    `doomed` is the number of sessions, counted from the first, that nothing could save.
    `from_the_start` strikes before the sessions are opened. `by_name` reaches the vCenter by a host
    name, `over_link` over a link that loses packets. `small_disk` puts the contender's files on a
    small separate disk. `steps_clock` allows its program's clock to be stepped. `restarts` restarts
    its program, during which other stages start none. `is_crowd` has thousands of sessions, and
    runs once, since it has no PUTs.
    """

    name: str
    title: str
    strike: Strike
    needs: Needs = Needs.NOTHING
    doomed: int = 0
    from_the_start: bool = False
    by_name: bool = False
    over_link: bool = False
    small_disk: bool = False
    steps_clock: bool = False
    restarts: bool = False
    is_crowd: bool = False


FAULTS = (
    Fault("none", "none", _calm),
    Fault("down-30", "vCenter down for 30 % of what can be bridged", _down(0.3)),
    Fault("down-60", "vCenter down for 60 %", _down(0.6)),
    Fault("down-90", "vCenter down for 90 %", _down(0.9)),
    Fault("restart", "vCenter restarts and forgets all tokens", _forget_tokens),
    Fault("token-idle", "API tokens expire when idle", _idle_tokens),
    Fault("token-age", "API tokens expire by age", _old_tokens),
    Fault("503", "503 with Retry-After", _all_meet(Fail(503, retry_after=RETRY_AFTER), 0.6)),
    Fault("429", "a storm of 429", _all_meet(Fail(429), 0.6)),
    Fault("reset", "every third connection reset", _resets),
    Fault("hang", "answers hang past the request timeout", _all_meet(Hang(), 0.6)),
    Fault(
        "latency-20th", "answers take a twentieth of the lifetime", _slow(0.05), from_the_start=True
    ),
    Fault("latency-5th", "answers take a fifth of the lifetime", _slow(0.2), from_the_start=True),
    Fault(
        "packets",
        "packets lost and late",
        _calm,
        Needs.NAMESPACES,
        over_link=True,
    ),
    Fault("dns", "the name cannot be resolved any more", _no_names, Needs.NAMESPACES, by_name=True),
    Fault("certificate", "certificate and authority rotated", _other_certificate),
    Fault("password", "password rotated", _other_password),
    Fault("kill", "the keeper killed by SIGKILL", _kill, restarts=True),
    Fault(
        "clock-forward",
        "the host's clock stepped by +1 h",
        _clock_step(3600),
        Needs.CLOCK,
        steps_clock=True,
    ),
    Fault(
        "clock-back",
        "the host's clock stepped by -1 h",
        _clock_step(-3600),
        Needs.CLOCK,
        steps_clock=True,
    ),
    Fault("freeze", "the keeper stopped for half a lifetime", _freeze),
    Fault("disk", "disk full", _disk_full, small_disk=True),
    Fault("shorter", "lifetime cut to a third on the server", _shorter),
    Fault("one-500", "one session always answers 500", _one_fails, doomed=1),
    Fault("crowd", "5,000 sessions at once after an outage", _down(0.6), is_crowd=True),
)
