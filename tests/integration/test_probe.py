"""`clkeepalived probe` as a process of its own, before a simulator that is served by HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.cli.probe import _exit_code, _print_result
from keepalived.probe.advice import advise
from keepalived.probe.findings import findings
from keepalived.probe.notes import Notes
from keepalived.probe.report import Names, Report
from keepalived.probe.scratch import Left
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Fail, Latency
from tests.support.cli import COMMAND
from tests.support.exec import Place, place
from tests.support.probe import LIBRARY, Bystanders
from tests.support.programs import program
from tests.support.pty import INTERRUPT, pty, until
from tests.support.timeouts import TIMEOUT_SECONDS

LIFETIME = 12.0
SLACK = 2.0
"""By how much a busy machine may miss the moment at which a session expires."""
extended = pytest.mark.extended
MADE = ("--library", "made for the probe", "--datastore", "datastore-11")


@asynccontextmanager
async def started(place: Place, *words: str) -> AsyncIterator[Process]:
    """Start a probe; what is left of it at the end of the block is killed."""
    command = (*COMMAND, "probe", "--config", str(place.config), *words)
    async with program(*command, env=place.environment) as process:
        yield process


async def ended(place: Place, *words: str) -> tuple[int | None, str, str]:
    """Run a probe to its end; return its exit code, and what it said on either stream."""
    async with started(place, *words) as process:
        out, err = await process.communicate()
        assert place.simulator.password not in out.decode() + err.decode()
        return process.returncode, out.decode(), err.decode()


def asked(simulator: Simulator, route: str) -> bool:
    return bool(simulator.ledger.requests(route))


@extended
@pytest.mark.parametrize(("counts", "tells"), [(True, True), (False, False)])
async def test_it_tells_the_truth(tmp_path: Path, *, counts: bool, tells: bool) -> None:
    behaviour = {"put_counts_as_activity": counts, "bytes_during_put": tells}
    async with place(tmp_path, LIFETIME, **behaviour) as there:
        bystanders = Bystanders.on(there.simulator)
        file = tmp_path / "report.json"
        code, out, err = await ended(
            there, "--library", LIBRARY, "--limit", "120s", "--json", str(file)
        )
        assert code == 0, err
        report: dict[str, Any] = json.loads(file.read_text())
        found = {name: each["answer"] for name, each in report["findings"].items()}
        truth = {True: "yes", False: "no"}
        assert found == {
            "untouched_lifetime": "told",
            "get_moves_expiration_time": "no",
            "get_keeps_alive": "no",
            "keep_alive_moves_expiration_time": "yes",
            "keep_alive_keeps_alive": "yes",
            "put_moves_expiration_time": truth[counts],
            "put_keeps_alive": truth[counts],
            "bytes_transferred_moves_during_put": truth[tells],
            "second_session_on_an_item": "told",
            "progress_that_stays": "told",
            "progress_that_falls": "told",
        }
        span = report["observations"]["untouched"]
        assert span["least"] <= LIFETIME + SLACK
        assert span["most"] >= LIFETIME - SLACK
        assert report["is_whole"]
        assert "127.0.0.1" not in file.read_text()
        assert LIBRARY not in file.read_text()
        assert f"    observe: {'files' if tells else 'state'}\n" in out
        bystanders.check_all_is_as_it_was()


EARLY, LATE = "10m", "3s"
"""When a probe ends by itself: long after the signal, or soon where the signal comes last."""
STEPS = [
    pytest.param("session.create", EARLY, signal.SIGINT, marks=extended),
    pytest.param("local_library.create", EARLY, signal.SIGTERM, marks=extended),
    pytest.param("item.create", EARLY, signal.SIGINT, marks=extended),
    pytest.param("update_session.create", EARLY, signal.SIGTERM, marks=extended),
    pytest.param("update_session.keep_alive", EARLY, signal.SIGINT, marks=extended),
    pytest.param("upload", EARLY, signal.SIGHUP),
    pytest.param("update_session.cancel", LATE, signal.SIGINT, marks=extended),
    pytest.param("item.delete", LATE, signal.SIGTERM, marks=extended),
    pytest.param("local_library.delete", LATE, signal.SIGINT, marks=extended),
]


@pytest.mark.parametrize(("route", "limit", "number"), STEPS)
async def test_a_signal_at_any_step_leaves_nothing_behind(
    route: str, limit: str, number: signal.Signals, tmp_path: Path
) -> None:
    async with place(tmp_path, TIMEOUT_SECONDS) as there:
        bystanders = Bystanders.on(there.simulator)
        # Carried out, and the answer on its way when the signal comes.
        there.simulator.faults.add(Latency(0.3, act_first=True), route=route, count=1)
        async with started(there, *MADE, "--limit", limit) as process:
            await until(lambda: asked(there.simulator, route))
            process.send_signal(number)
            out, err = await process.communicate()
        assert process.returncode == 128 + number, err.decode()
        assert "left behind" not in err.decode()
        assert "Traceback" not in err.decode()
        assert "How long does an untouched session live?" in out.decode()
        bystanders.check_all_is_as_it_was()


@extended
async def test_on_a_terminal_a_table_lives_and_ctrl_c_puts_everything_away(tmp_path: Path) -> None:
    async with place(tmp_path, TIMEOUT_SECONDS) as there:
        bystanders = Bystanders.on(there.simulator)
        words = ("probe", "--config", str(there.config), "--library", LIBRARY)
        environment: dict[str, Any] = {**there.environment, "TERM": "xterm-256color"}
        async with pty(*COMMAND, *words, **environment) as terminal:
            await terminal.shows("takes about")
            await terminal.shows(r"left untouched  .*still there after \d+s")
            await terminal.shows(r"s of about \d")
            terminal.type(INTERRUPT)
            await terminal.shows("removing the scratch items")
            await terminal.shows("the run ended before")
            await terminal.shows("Suggested configuration")
            assert (
                await asyncio.wait_for(terminal.leader.wait(), TIMEOUT_SECONDS)
                == 128 + signal.SIGINT
            )
            assert terminal.text.count("\x1b[?25l") == terminal.text.count("\x1b[?25h") > 0
        bystanders.check_all_is_as_it_was()


@extended
async def test_whoever_stops_reading_leaves_nothing_behind_either(tmp_path: Path) -> None:
    async with place(tmp_path, 1.0) as there:
        bystanders = Bystanders.on(there.simulator)
        command = " ".join((*COMMAND, "probe", "--config", str(there.config), "--library", LIBRARY))
        process = await asyncio.create_subprocess_shell(
            f"{command} --limit 3s 2>&1 | head -n 1", stdout=PIPE, env=there.environment
        )
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
        assert out.count(b"\n") == 1
        await until(lambda: asked(there.simulator, "session.delete"))
        bystanders.check_all_is_as_it_was()


@extended
async def test_the_exit_code_says_how_it_went(tmp_path: Path) -> None:
    async with place(tmp_path, 1.0) as there:
        catalog = there.simulator.library.catalog
        catalog.create_library(LIBRARY)

        code, _, err = await ended(there, "--library", "nowhere")
        assert (code, err.count("no library named 'nowhere'")) == (1, 1)

        code, _, err = await ended(there)
        assert (code, "--library" in err) == (2, True)

        there.simulator.faults.add(Fail(500), route="update_session_file.add")
        code, out, err = await ended(there, "--library", LIBRARY, "--limit", "2s", "--json", "-")
        assert (code, json.loads(out)["is_whole"]) == (1, False)
        assert "cannot add a file" in err
        assert catalog.items() == []
    code, _, err = await ended(there, "--library", LIBRARY)
    assert (code, "cannot be used: cannot connect" in err) == (69, True)
    there.config.write_text("vcenters: 1\n")
    assert (await ended(there, "--library", LIBRARY))[0] == 78


def test_what_is_left_behind_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes()
    found = findings(notes)
    left = (Left("item", "clkeepalived-probe-1-get", "an-id"), Left("library", "scratch", ""))
    report = Report(
        version="1",
        names=Names("lab", "https://vcsa.example", "scratch"),
        dialect="api",
        began_at=0.0,
        took=1.0,
        configured=300.0,
        limit=480.0,
        notes=notes,
        findings=found,
        advice=advise(notes, found, 300.0),
        left=left,
    )
    _print_result(report, sys.stdout)
    said = capsys.readouterr().err
    assert "could not be removed: item clkeepalived-probe-1-get an-id\n" in said
    assert "could not be removed: library scratch\n" in said
    assert _exit_code(report, None) == 1
    assert _exit_code(report, signal.SIGTERM) == 143
