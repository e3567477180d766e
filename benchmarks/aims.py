"""The aims of the benchmarks, whether each was reached, and why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks import lane
from benchmarks.parts import Answer, markdown

Kept = Mapping[str, Answer]
"""Answers by the names of their parts."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One target figure. `cause` explains why it is missed."""

    words: str
    part: str
    figure: Callable[[Answer], float | None]
    shown: Callable[[float], str]
    reached: Callable[[float], bool]
    cause: str = ""


def _ratio(to: str, loop: str, scheme: str) -> Callable[[Answer], float | None]:
    cell = lane.Cell(lane.DAEMON, scheme, loop, "minimal").name

    def figure(answer: Answer) -> float | None:
        ratio: float | None = answer.get(cell, {}).get("ratios", {}).get(to)
        return ratio

    return figure


_REQUEST_COST = (
    "Compared with the bare loop: a third of a keep-alive's CPU time goes into the request itself, "
    "which costs less than the bare loop's. The rest is schedule, core, counts and state file, in "
    "many small pieces: docs/performance.md. They weigh most where the bare loop is cheapest, over "
    "http with uvloop."
)
_MEMORY = (
    "Memory: a session, its key, its id, its hold, about six time stamps and its places in two "
    "schedules and three tables are Python objects, each with its own header. A session from YAML "
    "has an entry in one more table, which is used to find changes in its file."
)
_IDLE = (
    "CPU when idle: session files are checked every two seconds, in a thread since they may lie on "
    "a slow file system, and no timer runs for more than five seconds, since timers stop while a "
    "machine is suspended. That makes two wake-ups a second, of 0.2 ms to 0.3 ms each, mostly "
    "spent on refilling the processor's caches."
)


def _at_100_000(name: str) -> Callable[[Answer], float]:
    return lambda answer: float(answer["100000"][name])


def _memory_aim(source: str, name: str) -> Aim:
    return Aim(
        f"at most 1.5 KiB of memory a session, taken from {source}",
        "crowd",
        lambda answer: answer[name]["bytes_per_session"] / 1024,
        "{:.2f} KiB".format,
        lambda value: value <= 1.5,
        _MEMORY,
    )


def _ratio_aims(to: str, least: float, cause: str = "") -> Iterator[Aim]:
    for loop in ("uvloop", "asyncio"):
        for scheme in lane.SCHEMES:
            yield Aim(
                f"keep-alives per CPU-second relative to {to}, {loop}, {scheme}: "
                f"at least {least:g}",
                "lane",
                _ratio(to, loop, scheme),
                "{:.2f}".format,
                lambda value: value >= least,
                cause,
            )


AIMS = (
    *_ratio_aims(lane.BARE, 0.8, _REQUEST_COST),
    *_ratio_aims(lane.SDK, 4.0),
    Aim(
        "100,000 sessions: no renewal later than 1 s",
        "steady",
        _at_100_000("late_by_over_1_s"),
        "{:.0f} late".format,
        lambda value: value == 0,
    ),
    Aim(
        "100,000 sessions: p99 of the lag under 50 ms",
        "steady",
        _at_100_000("p99_lag_at_most_ms"),
        "≤ {:g} ms".format,
        lambda value: value <= 50,
    ),
    Aim(
        "100,000 sessions: under 30 % of one core",
        "steady",
        _at_100_000("cpu_percent"),
        "{:.1f} %".format,
        lambda value: value < 30,
    ),
    _memory_aim("the state file", "state"),
    _memory_aim("YAML", "yaml"),
    Aim(
        "ten sessions: under 1 s of CPU an hour",
        "idle",
        lambda answer: float(answer["10"]["cpu_seconds_per_hour"]),
        "{:.2f} s".format,
        lambda value: value < 1,
        _IDLE,
    ),
)


def table(kept: Kept) -> str:
    """Return a table of the measured aims, followed by the causes of missed ones."""
    rows, causes = [], []
    for aim in AIMS:
        if aim.part not in kept:
            continue
        value = aim.figure(kept[aim.part])
        if value is None:
            continue
        reached = aim.reached(value)
        rows.append((aim.words, aim.shown(value), "yes" if reached else "**no**"))
        if not reached and aim.cause and aim.cause not in causes:
            causes.append(aim.cause)
    return "\n\n".join([markdown(("aim", "measured", "reached"), rows), *causes])
