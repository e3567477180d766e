"""Benchmark 100,000 sessions at once: loaded from YAML or the state file, and after an outage.

Their lifetime is 300 s. Memory is the resident memory beyond that of a daemon without sessions.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.nginx import Nginx, nginx
from benchmarks.parts import Answer, Part, markdown
from benchmarks.served import Daemon, at_most, daemon, grown, session_id, write_sessions
from keepalived.host.clock import SystemClock, boot_id
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import new_session
from keepalived.store.store import Store

SESSIONS = 100_000
LIFETIME = 300
OUTAGE_SECONDS = 0.55 * LIFETIME
"""Long enough for every session to become due."""

_BATCH = 10_000
_SLACK = "clkeepalived_renewal_slack_seconds"


def measure(_minutes: float) -> Answer:
    """Load the sessions in both ways, and expose the second daemon to an outage."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with nginx(_folder(place, "nginx"), LIFETIME) as served:
            empty = _empty(_folder(place, "empty"), served)
            from_yaml = _folder(place, "yaml")
            write_sessions(from_yaml, SESSIONS)
            with _taking_up(from_yaml, served, empty) as (_, yaml):
                print(f"from YAML: {yaml}", file=sys.stderr)
            from_state = _folder(place, "state")
            write_sessions(from_state, 0)
            asyncio.run(_fill(from_state / "state.db"))
            with _taking_up(from_state, served, empty) as (running, state):
                print(f"from the state file: {state}", file=sys.stderr)
                outage = _outage(running, served)
    return {"empty_mib": round(empty / 2**20, 1), "yaml": yaml, "state": state, "outage": outage}


def _folder(place: Path, name: str) -> Path:
    (place / name).mkdir()
    return place / name


def _empty(directory: Path, served: Nginx) -> int:
    write_sessions(directory, 0)
    with daemon(directory, served.http, lifetime=LIFETIME) as running:
        time.sleep(10)
        return running.memory()


@contextmanager
def _taking_up(directory: Path, served: Nginx, empty: int) -> Iterator[tuple[Daemon, Answer]]:
    """Run a daemon on the sessions in `directory`; yield the cost until all were renewed."""
    began = time.monotonic()
    with daemon(directory, served.http, lifetime=LIFETIME) as running:
        running.wait_for_keep_alives(SESSIONS, within=300)
        took = time.monotonic() - began
        cpu = running.cpu_seconds()
        time.sleep(15)  # until the renewals are written and memory used for loading is freed
        beyond = running.memory() - empty
        yield (
            running,
            {
                "held_after_seconds": round(running.ready_after, 1),
                "renewed_after_seconds": round(took, 1),
                "cpu_seconds": round(cpu, 1),
                "bytes_per_session": round(beyond / SESSIONS),
                "peak_bytes_per_session": round((running.peak_memory() - empty) / SESSIONS),
            },
        )


async def _fill(path: Path) -> None:
    """Write a state file as left by a daemon that has just renewed all sessions."""
    clock = SystemClock()
    store = Store(path, clock, boot_id())
    await store.open()
    now = clock.boot()
    hold = Hold(0, Owner(OwnerKind.NONE), now, now + 86400)
    keys = [SessionKey("target", Kind.UPDATE, session_id(number)) for number in range(SESSIONS)]
    for first in range(0, SESSIONS, _BATCH):
        batch = keys[first : first + _BATCH]
        await asyncio.gather(*(store.put_hold(key, hold) for key in batch))
    for key in keys:
        store.note_session(new_session(key, LIFETIME, hold, now))
    await store.close()


def _outage(running: Daemon, served: Nginx) -> Answer:
    """Stop nginx until all sessions are due; return how the daemon catches up."""
    before = running.metrics()
    served.stop()
    time.sleep(OUTAGE_SECONDS)
    meanwhile = running.metrics()
    kept = "clkeepalived_keep_alives_total{outcome=ok}"
    cpu, began = running.cpu_seconds(), time.monotonic()
    served.start()
    running.wait_for_keep_alives(round(meanwhile[kept]) + SESSIONS, within=300)
    took = time.monotonic() - began
    cpu = running.cpu_seconds() - cpu
    after = running.metrics()
    grew = grown(meanwhile, after)
    lost = sum(
        count
        for name, count in grown(before, after).items()
        if name.startswith("clkeepalived_sessions_ended_total{")
    )
    least = at_most(grew, _SLACK, 1 / SESSIONS)
    return {
        "outage_seconds": round(OUTAGE_SECONDS),
        "caught_up_after_seconds": round(took, 1),
        "cpu_seconds": round(cpu, 1),
        "least_slack_at_most_seconds": least,
        "sessions_lost": round(lost),
    }


def table(answer: Answer) -> str:
    """Return a table on loading the sessions, and a sentence on the outage."""
    rows = [
        (
            name,
            f"{of['held_after_seconds']:.1f} s",
            f"{of['renewed_after_seconds']:.1f} s",
            f"{of['cpu_seconds']:.1f} s",
            f"{of['bytes_per_session'] / 1024:.2f} KiB",
            f"{of['peak_bytes_per_session'] / 1024:.2f} KiB",
        )
        for name, of in (("YAML", answer["yaml"]), ("the state file", answer["state"]))
    ]
    head = (
        *(f"{SESSIONS:,} sessions from", "ready after", "all renewed after", "CPU"),
        *("memory a session", "at its peak"),
    )
    of = answer["outage"]
    outage = (
        f"After an outage of {of['outage_seconds']} s, when all sessions are due, all are renewed "
        f"within {of['caught_up_after_seconds']:.1f} s ({of['cpu_seconds']:.1f} s of CPU); "
        f"{of['sessions_lost']} are lost. The figures above exclude the {answer['empty_mib']:.0f} "
        "MiB resident of a daemon without sessions."
    )
    return f"{markdown(head, rows)}\n\n{outage}"


ABOUT = """\
Against nginx, with `observe: minimal`. Memory is the resident memory beyond that of a daemon
without sessions, 15 s after all sessions were renewed."""

PART = Part(
    "crowd", "How long do loading 100,000 sessions and catching up take?", ABOUT, measure, table
)
