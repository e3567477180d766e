"""The play itself: a simulated vCenter, the real daemon, and six uploads in half a minute."""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from keepalived.demo.keeper import Keeper
from keepalived.demo.screen import Lines, Screen, Terminal, conclude, introduce
from keepalived.demo.uploads import Fate, Upload, Uploader
from keepalived.demo.verdict import Evidence, Finding, findings
from keepalived.simulator.app import DEFAULT_USERNAME, Simulator
from keepalived.simulator.server import serve

LIFETIME = 4.0
_MIB = 1024 * 1024
_REPORT_SECONDS = 6.0
_NOTES_EVERY = 0.5


def uploads() -> list[Upload]:
    """Return what is uploaded, and what becomes of it."""
    return [
        Upload("debian-12.ova", Fate.KEPT, 16 * _MIB, checksum=7.0, queue=6.0),
        Upload("windows-2022.iso", Fate.KEPT, 64 * _MIB, checksum=9.0, queue=5.0),
        Upload("database.ovf", Fate.KEPT, 4 * _MIB, checksum=5.0, queue=9.0),
        Upload("debian-12 unkept", Fate.UNKEPT, 16 * _MIB, checksum=7.0, queue=6.0),
        Upload("canceled.ova", Fate.CANCELED, 8 * _MIB, checksum=6.0, queue=6.0),
        Upload("full-store.ova", Fate.FAILED, 8 * _MIB, checksum=6.0, queue=6.0),
    ]


async def play() -> bool:
    """Play it, show it, and say what it proves; return whether everything was as it should be."""
    simulator = Simulator(session_timeout=LIFETIME, password=secrets.token_urlsafe(12))
    planned = uploads()
    introduce(LIFETIME)
    with tempfile.TemporaryDirectory(prefix="clkeepalived-demo-") as folder:
        async with (
            serve(simulator) as url,
            Uploader(url, DEFAULT_USERNAME, simulator.password) as uploader,
            Keeper(Path(folder), url, DEFAULT_USERNAME, simulator.password, LIFETIME) as keeper,
        ):
            with _screen(simulator, planned) as screen:
                await _carry_out(planned, uploader, keeper, screen)
                await _reports(planned, keeper)
            found = await _findings(planned, simulator, uploader, keeper)
    conclude(found)
    good = all(finding.holds for finding in found)
    sound = sum(finding.holds for finding in found)
    print(
        f"\n{sound} of {len(found)} as they should be"
        + (": what was kept outlived its lifetime, and what was not is gone." if good else ".")
    )
    return good


async def _carry_out(
    planned: Sequence[Upload], uploader: Uploader, keeper: Keeper, screen: Screen
) -> None:
    async with asyncio.TaskGroup() as tasks:
        noting = tasks.create_task(_note_progress(planned, keeper, screen))
        going_on = []
        for upload in planned:
            await uploader.open(upload)
            keeper.hold(_held(planned))
            going_on.append(tasks.create_task(uploader.carry_out(upload)))
            if upload.fate in (Fate.CANCELED, Fate.FAILED):
                going_on.append(tasks.create_task(_end_halfway(upload, uploader)))
        await asyncio.wait(going_on)
        noting.cancel()
    for upload in planned:
        screen.show(upload)


async def _note_progress(planned: Sequence[Upload], keeper: Keeper, screen: Screen) -> None:
    """Tell the daemon by its session file how far the uploads are, as an upload script would."""
    while True:
        await asyncio.sleep(_NOTES_EVERY)
        keeper.hold(_held(planned))
        for upload in planned:
            screen.show(upload)


async def _end_halfway(upload: Upload, uploader: Uploader) -> None:
    while upload.sent < upload.size // 2:
        upload.changed.clear()
        await upload.changed.wait()
    await uploader.end_by_force(upload)


async def _reports(planned: Sequence[Upload], keeper: Keeper) -> None:
    """Wait, within reason, until the daemon has told of every session that it held."""
    waiting = [upload.session_id for upload in _held(planned)]
    try:
        async with asyncio.timeout(_REPORT_SECONDS):
            while any(keeper.end_of(each) is None for each in waiting):
                await keeper.next_event()
    except TimeoutError:
        return


async def _findings(
    planned: Sequence[Upload], simulator: Simulator, uploader: Uploader, keeper: Keeper
) -> list[Finding]:
    found: list[Finding] = []
    ledger = simulator.ledger
    for upload in planned:
        item = await uploader.item(upload)
        evidence = Evidence(
            upload=upload,
            requests=tuple(ledger.requests(session_id=upload.session_id)),
            events=tuple(ledger.events_of(upload.session_id)),
            longest_gap=ledger.longest_gap(upload.session_id),
            version=int(item["content_version"]),
            size=int(item.get("size") or 0),
            report=keeper.end_of(upload.session_id),
        )
        found += findings(evidence, LIFETIME)
    return found


def _held(planned: Sequence[Upload]) -> list[Upload]:
    return [each for each in planned if each.session_id and each.fate is not Fate.UNKEPT]


def _screen(simulator: Simulator, planned: Sequence[Upload]) -> Screen:
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        return Lines(time.monotonic)

    def slack(upload: Upload) -> float | None:
        record = simulator.ledger.session(upload.session_id)
        if record.last_activity is None or record.ended is not None:
            return None
        return record.last_activity + LIFETIME - time.monotonic()

    return Terminal(console, planned, slack, LIFETIME)
