"""Run the demo: a simulated vCenter, the real daemon, and six uploads in half a minute."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from keepalived.demo.keeper import DemoDaemon, DemoSessionFile, keeping
from keepalived.demo.screen import Life, Result, Screen, screen_for
from keepalived.demo.uploads import DemoUpload, Scenario, Uploader, uploading
from keepalived.demo.verdict import Evidence, findings, summary
from keepalived.simulator.app import DEFAULT_USERNAME, Simulator
from keepalived.simulator.ledger import Ledger
from keepalived.simulator.server import serve

LIFETIME = 4.0

LONGEST_PLAY = 60.0
"""Time limit in seconds, from the start of the daemon: three times the duration on an idle machine.
It leaves room for a busy machine and bounds the wait for an upload that is stuck."""
_REPORT_SECONDS = 6.0
_FRAME_SECONDS = 0.125
_MIB = 1024 * 1024


def uploads() -> list[DemoUpload]:
    """Return the planned uploads."""
    return [
        DemoUpload("debian-12.ova", Scenario.KEPT, 16 * _MIB, checksum=7.0, queue=6.0),
        DemoUpload("windows-2022.iso", Scenario.KEPT, 64 * _MIB, checksum=9.0, queue=5.0),
        DemoUpload("database.ovf", Scenario.KEPT, 4 * _MIB, checksum=5.0, queue=9.0),
        DemoUpload("debian-12 unkept", Scenario.UNKEPT, 16 * _MIB, checksum=7.0, queue=6.0),
        DemoUpload("canceled.ova", Scenario.CANCELED, 8 * _MIB, checksum=6.0, queue=6.0),
        DemoUpload("full-store.ova", Scenario.FAILED, 8 * _MIB, checksum=6.0, queue=6.0),
    ]


async def play() -> bool:
    """Run and show the demonstration and its findings; return whether all are as expected.

    Raises KeeperFailed if the daemon does not start.
    """
    simulator = Simulator(session_timeout=LIFETIME, password=secrets.token_urlsafe(12))
    account = DEFAULT_USERNAME, simulator.password
    planned = uploads()
    screen = screen_for(planned, partial(_life, simulator), LIFETIME)
    print(
        f"A simulated vCenter deletes update sessions after {LIFETIME:g} idle seconds, a real one\n"
        "after 300. The uploads pause for longer, for checksums and in queues.\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="clkeepalived-demo-") as folder:
        async with (
            serve(simulator) as url,
            uploading(url, *account) as uploader,
            keeping(Path(folder), url, *account, LIFETIME) as keeper,
        ):
            # The findings report what is unfinished at that time.
            with screen, suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_PLAY):
                    await _perform(planned, uploader, keeper, screen)
            proof = [await _evidence(each, simulator.ledger, uploader, keeper) for each in planned]
            output = keeper.other_output()
    results = [Result(summary(each, LIFETIME), findings(each, LIFETIME)) for each in proof]
    screen.conclude(results)
    return _print_verdict(results, output)


async def _perform(
    planned: Sequence[DemoUpload], uploader: Uploader, keeper: DemoDaemon, screen: Screen
) -> None:
    async with asyncio.TaskGroup() as tasks:
        showing = tasks.create_task(_show(planned, keeper.session_file, screen), name="screen")
        async with asyncio.TaskGroup() as going_on:
            for upload in planned:
                await uploader.open(upload)
                if not upload.session_id:
                    continue
                keeper.session_file.write(_held(planned))
                going_on.create_task(uploader.carry_out(upload), name=upload.name)
                if upload.scenario in (Scenario.CANCELED, Scenario.FAILED):
                    going_on.create_task(uploader.end_halfway(upload), name=upload.scenario)
        await _reports(planned, keeper)
        showing.cancel()
    screen.show(planned)


async def _show(
    planned: Sequence[DemoUpload], session_file: DemoSessionFile, screen: Screen
) -> None:
    """Show the uploads' progress, and write it for the daemon as an upload script would."""
    while True:
        screen.show(planned)
        session_file.write(_held(planned))
        await asyncio.sleep(_FRAME_SECONDS)


async def _reports(planned: Sequence[DemoUpload], keeper: DemoDaemon) -> None:
    """Wait, with a limit, until the daemon has reported the end of every session it held."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_REPORT_SECONDS):
            while any(keeper.end_of(each.session_id) is None for each in _held(planned)):
                if not await keeper.has_more_output():
                    return


async def _evidence(
    upload: DemoUpload, ledger: Ledger, uploader: Uploader, keeper: DemoDaemon
) -> Evidence:
    item = await uploader.item(upload)
    return Evidence(
        upload=upload,
        requests=tuple(ledger.requests(session_id=upload.session_id)),
        events=tuple(ledger.events_of(upload.session_id)),
        longest_gap=ledger.longest_gap(upload.session_id),
        version=int(item.get("content_version") or 0),
        size=int(item.get("size") or 0),
        report=keeper.end_of(upload.session_id),
    )


def _print_verdict(results: Sequence[Result], output: str) -> bool:
    held = [finding.holds for result in results for finding in result.findings]
    is_good = all(held)
    print(f"\n{sum(held)} of {len(held)} checks passed.")
    if is_good:
        print("The kept sessions outlived their lifetime, the unkept one expired.")
    if output and not is_good:
        print(output)
    return is_good


def _life(simulator: Simulator, upload: DemoUpload) -> Life:
    record = simulator.ledger.session(upload.session_id)
    if record.ended is not None or record.last_activity is None:
        return Life(ended=record.ended)
    return Life(left=record.last_activity + LIFETIME - simulator.clock.now())


def _held(planned: Sequence[DemoUpload]) -> list[DemoUpload]:
    return [each for each in planned if each.session_id and each.scenario is not Scenario.UNKEPT]
