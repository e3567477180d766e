"""Count the functions of the package that four main paths enter, in running processes.

The paths: a line in a session file to its first keep-alive, a PUT to its 201, a 404 to
`session_ended`, and a whole `exec` around an upload. Each function counts once, in all threads,
including other work of the daemon meanwhile. The vCenter is a simulator in its own process.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.exec_cost import simulator
from tests.support import uploader
from tests.support.uploader import SESSIONS, call, item_id, log_in_at

ROUNDS = 3
TIMEOUT_SECONDS = 120.0


class Served:
    """A profiled daemon, and its log."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.folder = folder
        self.process = process

    def wait_for(self, *events: str) -> None:
        """Read the log until it contains each of these events."""
        assert self.process.stderr is not None
        missing = set(events)
        for line in self.process.stderr:
            missing = {each for each in missing if f'"event": "{each}"' not in line}
            if not missing:
                return
        raise RuntimeError(f"the daemon ended before {missing}")

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """Send a request to the control socket; return the answer's status and body."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        with closing(connection):
            connection.sock.connect(str(self.folder / "socket"))
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    def entered(self, work: Callable[[], None]) -> int:
        """Count the functions entered while `work` runs."""
        results = self.folder / "entered"
        results.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        work()
        self.process.send_signal(signal.SIGUSR2)
        return _lines(results)


def _lines(results: Path) -> int:
    _until(results.exists)
    if copies := os.environ.get("JOURNEYS"):
        name = f"{len(list(Path(copies).iterdir()))}.txt"
        (Path(copies) / name).write_bytes(results.read_bytes())
    return len(results.read_text().splitlines())


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("timed out")
        time.sleep(0.01)


@contextmanager
def serving(environ: Mapping[str, str], until: str = "", **settings: str) -> Iterator[Served]:
    """Run a profiled daemon, logged in and with one held session, while the block runs.

    Lists of functions end when the log reports the event `until`.
    """
    first = open_session(environ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(environ["GOVC_PASSWORD"])
        document = {
            "vcenters": {
                "lab": {
                    "url": environ["GOVC_URL"],
                    "username": environ["GOVC_USERNAME"],
                    "password_file": str(password),
                    **settings,
                }
            },
            "session_files": [str(folder / "*.yaml")],
            "http": {"listen": "127.0.0.1:0"},
            "control": {"socket": str(folder / "socket")},
            "state": {"path": str(folder / "state.db")},
            "log": {"format": "json"},
        }
        (folder / "first.yaml").write_text(f"sessions:\n  - id: {first}\n")
        config = folder / "config.json"
        config.write_text(json.dumps(document))
        arguments = (str(folder / "entered"), "serve", "--config", str(config))
        process = subprocess.Popen(
            (sys.executable, "-m", "benchmarks.profiled", *arguments),
            env={**os.environ, "LIST_UNTIL": until},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            served = Served(process, folder)
            served.wait_for("ready", "first_renewal")
            _until(lambda: served.request("GET", f"/v1/sessions/lab/{first}")[1]["item"])
            yield served
        finally:
            process.terminate()
            process.communicate()


def counted() -> Iterator[tuple[str, int]]:
    """Return the four counts with their names, medians of three."""
    with simulator() as environ:
        names = {
            "a YAML line to its first keep-alive": from_yaml,
            "a PUT to its 201": put,
            "a 404 to session_ended": not_found,
            "a whole exec": whole_exec,
        }
        for name, count in names.items():
            yield name, round(statistics.median(count(environ) for _ in range(ROUNDS)))


def from_yaml(environ: Mapping[str, str]) -> int:
    """Count from writing a line to the first keep-alive's answer."""
    session = open_session(environ)
    with serving(environ, until="first_renewal") as served:
        part, whole = served.folder / "part", served.folder / "uploads.yaml"
        part.write_text(f"sessions:\n  - id: {session}\n")

        def write() -> None:
            part.rename(whole)
            served.wait_for("first_renewal")

        return served.entered(write)


def put(environ: Mapping[str, str]) -> int:
    """Count from sending a PUT to its 201."""
    session = open_session(environ)
    with serving(environ) as served:

        def send() -> None:
            status, _ = served.request("PUT", f"/v1/sessions/lab/{session}", '{"owner": null}')
            if status != 201:
                raise RuntimeError(f"the PUT was answered by {status}")

        return served.entered(send)


def not_found(environ: Mapping[str, str]) -> int:
    """Count from the removal of a session on the server to the log's `session_ended`."""
    session, token = open_session(environ), log_in_at(environ)
    with serving(environ, until="session_ended", session_timeout="6s") as served:
        (served.folder / "uploads.yaml").write_text(f"sessions:\n  - id: {session}\n")
        served.wait_for("first_renewal")

        def remove() -> None:
            headers = {"vmware-api-session-id": token}
            url = f"{environ['GOVC_URL']}{SESSIONS}/{session}"
            call("POST", f"{url}?action=cancel", headers, {})
            call("DELETE", url, headers)
            served.wait_for("session_ended")

        return served.entered(remove)


def whole_exec(environ: Mapping[str, str]) -> int:
    """Count from the start of `exec` around a small upload to its end."""
    with tempfile.TemporaryDirectory() as name:
        results, content = Path(name) / "entered", Path(name) / "disk.vmdk"
        content.write_bytes(bytes(4096))
        command = (sys.executable, uploader.__file__, "--put", "1", str(content))
        arguments = (str(results), "exec", "--no-progress", "--", *command)
        subprocess.run(
            (sys.executable, "-m", "benchmarks.profiled", *arguments),
            env={**os.environ, **environ},
            check=True,
            capture_output=True,
        )
        return _lines(results)


def open_session(environ: Mapping[str, str]) -> str:
    """Open an update session on the server, and return its id."""
    os.environ["GOVC_URL"] = environ["GOVC_URL"]
    mine = {"vmware-api-session-id": log_in_at(environ)}
    item = item_id("journeys", f"item-{time.monotonic_ns()}", mine)
    session: str = call("POST", SESSIONS, mine, {"library_item_id": item})
    return session
