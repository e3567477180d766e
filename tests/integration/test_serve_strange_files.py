"""The daemon beside files that others have made strange, or taken away."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from keepalived.control.listening import Listening
from keepalived.host.sockets import listen_unix
from tests.support.control import caller_at
from tests.support.daemon import PASSWORD_VARIABLE, Daemon, daemon_of, serving

STRANGE = [
    "sessions:\n- {id: theirs, path: ~no-such-user/x}\n",
    'sessions: [{id: theirs, path: "a\\0b"}]',
    'sessions: [{id: theirs, token_file: "a\\0b"}]',
    "sessions: [{id: theirs, note: !!bool x}]",
    "sessions: [{id: theirs, null: x}]",
    "sessions: [{id: theirs, 1.5: x}]",
    f"sessions: [{{id: theirs, max_lifetime: {'9' * 400}}}]",
    f"sessions: [{{id: theirs, progress: {'9' * 5000}}}]",
    "!!python/object/apply:os.abort []",
    "&a [*a]",
]


def configure(folder: Path, more: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(
        "vcenters: {lab: {url: http://127.0.0.1:9}}\n"
        f"session_files: [{folder}/s.d/*]\n"
        f"control: {{socket: {folder}/control.sock}}\n"
        f"state: {{path: {folder}/state.db}}\n"
        "http: {listen: '127.0.0.1:0'}\nlog: {format: json, level: info}\n" + more
    )
    (folder / "s.d").mkdir(exist_ok=True)
    return path


async def page(daemon: Daemon, path: str) -> tuple[int, str]:
    ready = await daemon.event("ready", seconds=60)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{ready['listen']}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_strange_session_files_stop_nobody_else(tmp_path: Path) -> None:
    config = configure(tmp_path)
    folder = tmp_path / "s.d"
    (folder / "good.yaml").write_text("sessions: [{id: good}]")
    for number, content in enumerate(STRANGE):
        (folder / f"strange-{number}.yaml").write_text(content)
    latin = folder / os.fsdecode(b"caf\xe9.yaml")
    latin.write_text("sessions: [{id: latin}, {id: bad, progress: 101}]")
    os.symlink("/proc/kmsg", folder / "kmsg.yaml")
    os.mkfifo(folder / "fifo.yaml")
    async with serving(config) as daemon:
        await daemon.event("ready", seconds=60)
        failed = await daemon.event("source_failed", source=f"{folder}/caf\\xe9.yaml", seconds=60)
        assert "progress" in str(failed)
        for number in range(len(STRANGE)):
            source = f"{folder}/strange-{number}.yaml"
            await daemon.event("source_failed", source=source, seconds=60)
        status, text = await page(daemon, "/metrics")
        assert status == 200
        assert "caf\\\\xe9.yaml" in text
        async with caller_at(tmp_path / "control.sock") as caller:
            answer = await caller.get("/v1/sessions")
            listed = {each["id"]: each for each in answer.body["sessions"]}
        assert set(listed) == {"good", "latin"}
        assert listed["latin"]["holds"][0]["owner"] == f"file:{folder}/caf\\xe9.yaml"
        (folder / "later.yaml").write_text("sessions: [{id: later}]")
        async with caller_at(tmp_path / "control.sock") as caller:
            async with asyncio.timeout(60):
                while "later" not in str((await caller.get("/v1/sessions")).body):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        daemon.send(signal.SIGTERM)
        assert await daemon.end(seconds=60) == 0


async def test_a_configuration_that_became_a_pipe_is_refused_and_the_old_one_stays(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path)
    async with serving(config) as daemon:
        await daemon.event("ready", seconds=60)
        good = config.read_text()
        config.unlink()
        os.mkfifo(config)
        daemon.send(signal.SIGHUP)
        failed = await daemon.event("reload_failed", seconds=60)
        assert "not a regular file" in str(failed["problems"])
        config.unlink()
        config.write_text(good)
        daemon.send(signal.SIGHUP)
        await daemon.event("reloaded", seconds=60)
        daemon.send(signal.SIGTERM)
        assert await daemon.end(seconds=60) == 0


@pytest.mark.parametrize("is_folder", [False, True])
async def test_a_control_socket_that_was_removed_is_bound_again(
    is_folder: bool, tmp_path: Path
) -> None:
    config = configure(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    text = config.read_text().replace(f"{tmp_path}/control.sock", f"{folder}/control.sock")
    config.write_text(text)
    async with serving(config) as daemon:
        await daemon.event("ready", seconds=60)
        (folder / "control.sock").unlink()
        if is_folder:
            (folder / "control.sock.lock").unlink()
            folder.rmdir()
        await daemon.event("control_socket_gone", seconds=60)
        await daemon.event("control_socket_bound_again", seconds=60)
        async with caller_at(folder / "control.sock") as caller:
            answer = await caller.put("/v1/sessions/lab/a:b", {"owner": None})
            assert answer.status == 201
        assert (await page(daemon, "/readyz"))[0] == 200
        daemon.send(signal.SIGTERM)
        assert await daemon.end(seconds=60) == 0
    assert not (folder / "control.sock").exists()


def test_a_socket_of_systemds_is_left_to_it_and_the_command_is_named(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    handed = socket.socket(socket.AF_UNIX)
    handed.bind(str(path))
    handed.listen()
    listening = Listening(handed)
    assert (listening.trouble, listening.can_bind_again) == ("", False)
    path.unlink()
    assert listening.trouble.endswith("run: systemctl restart clkeepalived.socket")
    listening.close()


def test_a_place_that_somebody_else_took_is_left_to_them(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    listening = Listening(listen_unix(path))
    path.unlink()
    path.write_text("theirs")
    assert listening.trouble
    with pytest.raises(Exception, match="not a socket"):
        listening.bind_again()
    listening.close()
    assert path.read_text() == "theirs"


HANGING = """
import sys, threading
from keepalived.sources import file_scan
real = file_scan.read
def read(path):
    if path.endswith("dead.yaml"):
        threading.Event().wait()
    return real(path)
file_scan.read = read
import asyncio, time
from keepalived import daemon
run = daemon.Daemon.run
async def with_another_thread(self):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    await run(self)
daemon.Daemon.run = with_another_thread
from keepalived.cli.main import main
main()
"""


@asynccontextmanager
async def hanging(config: Path) -> AsyncIterator[Daemon]:
    """Run the daemon with a thread of each kind that never ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HANGING, "serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, PASSWORD_VARIABLE: ""},
    )
    async with daemon_of(process) as daemon:
        yield daemon


@pytest.mark.extended
@pytest.mark.parametrize("times", [1, 2])
async def test_the_process_ends_whatever_threads_hang(times: int, tmp_path: Path) -> None:
    config = configure(tmp_path)
    (tmp_path / "s.d" / "dead.yaml").write_text("sessions: [{id: theirs}]")
    (tmp_path / "s.d" / "good.yaml").write_text("sessions: [{id: good}]")
    async with hanging(config) as daemon:
        failed = await daemon.event("source_failed", seconds=120)
        assert "takes over 30 s" in str(failed["problems"])
        status, text = await page(daemon, "/readyz")
        assert status == 503
        assert "dead.yaml" in text
        for _ in range(times):
            daemon.send(signal.SIGTERM)
        await daemon.event("stopped", seconds=60)
        await daemon.event("end_forced", seconds=60)
        assert await daemon.end(seconds=60) == 0


async def test_lists_and_streams_leave_out_what_cannot_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keepalived.control.views import View
    from tests.support.control import caller, running_control

    real = View.session

    def view(self: View, session: Any) -> Any:
        if session.key.id == "unsayable":
            raise OverflowError
        return real(self, session)

    async with running_control(tmp_path) as control, caller(control) as own:
        ids = [control.open() for _ in range(3)]
        for each in ids:
            assert (await own.put(f"/v1/sessions/lab/{each}", {"owner": None})).status == 201
        session = next(iter(control.registry))
        half = "half \ud800 a character"
        control.registry.commit(session._replace(last_error=half), ())
        answer = await own.get("/v1/sessions")
        assert {each["id"] for each in answer.body["sessions"]} == set(ids)
        assert "half \\ud800 a character" in {
            each["last_error"] for each in answer.body["sessions"]
        }
        monkeypatch.setattr(View, "session", view)
        control.registry.commit(session._replace(key=session.key._replace(id="unsayable")), ())
        answer = await own.get("/v1/sessions")
        assert {each["id"] for each in answer.body["sessions"]} == set(ids)
