"""The aims of the benchmarks, whether each was reached, and why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from benchmarks import lane, startup
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


_FILES = (
    "`observe: files`: reading a session's state and files costs more than a keep-alive: answers "
    "of some hundred bytes are parsed, checked and compared with the previous reading."
)
_REQUEST = (
    "Compared with Go: the rest of a keep-alive (schedule, core, counts, state file) is Python, in "
    "many small pieces: docs/performance.md."
)
_MEMORY = (
    "Memory: a session, its key, its id, its hold, about six time stamps and its places in two "
    "schedules and three tables are Python objects, each with its own header. A session from YAML "
    "has an entry in one more table, which is used to find changes in its file."
)


def _minimal(loop: str, scheme: str) -> lane.Cell:
    return lane.Cell(lane.DAEMON, scheme, loop, "minimal")


def _ratio_aim(to: str, least: float) -> Aim:
    def figure(answer: Answer) -> float | None:
        ratio: float | None = (
            answer.get(_minimal("uvloop", "https").name, {}).get("ratios", {}).get(to)
        )
        return ratio

    return Aim(
        f"keep-alives per CPU-second relative to {to}, uvloop, https: at least {least:g}",
        "lane",
        figure,
        "{:.2f}".format,
        lambda value: value >= least,
        _REQUEST,
    )


def _files_per_request(answer: Answer) -> float | None:
    """Return the requests per CPU-second with `observe: files`, relative to `minimal`."""
    minimal = _minimal("uvloop", "https")
    cells = [answer.get(cell.name) for cell in (replace(minimal, observe="files"), minimal)]
    if None in cells:
        return None
    files, alone = (
        each["keep_alives_per_cpu_second"] * each["requests_per_keep_alive"]
        for each in cells
        if each is not None
    )
    return float(files / alone)


def _at_100_000(name: str) -> Callable[[Answer], float]:
    return lambda answer: float(answer["100000"][name])


def _at_most(words: str, most: float, part: str, figure: Callable[[Answer], float]) -> Aim:
    return Aim(words, part, figure, "{:.2f}".format, lambda value: value <= most)


def _memory_aim(source: str, name: str) -> Aim:
    return Aim(
        f"at most 1.6 KiB of memory a session, taken from {source}",
        "crowd",
        lambda answer: answer[name]["bytes_per_session"] / 1024,
        "{:.2f} KiB".format,
        lambda value: value <= 1.6,
        _MEMORY,
    )


AIMS = (
    _ratio_aim(lane.GOVMOMI, 0.8),
    _ratio_aim(lane.BARE, 1.6),
    _ratio_aim(lane.SDK, 6.0),
    Aim(
        "requests per CPU-second with `observe: files`, relative to `minimal`: at least 0.8",
        "lane",
        _files_per_request,
        "{:.2f}".format,
        lambda value: value >= 0.8,
        _FILES,
    ),
    _at_most(
        f"`serve` until READY: at most 1.6 of `{startup.YARDSTICK}`",
        1.6,
        "startup",
        lambda answer: float(answer["ratios"][startup.READY]),
    ),
    _at_most(
        f"`exec -- true`: at most 1.4 of `{startup.YARDSTICK}`",
        1.4,
        "startup",
        lambda answer: float(answer["ratios"][startup.EXEC]),
    ),
    _at_most(
        "`serve` with ten sessions: at most 1.2 of its libraries' memory",
        1.2,
        "startup",
        lambda answer: round(float(answer["memory_ratio"]), 2),
    ),
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
