"""Client for the daemon's control socket.

Uses only `http.client`, which keeps the start-up of most commands short.
"""

from __future__ import annotations

import errno
import grp
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from keepalived.cli.text import printable

ANSWER_SECONDS = 30.0

_EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE of sysexits.h
_EXIT_USAGE = 2
_PROBLEM_TYPE = "urn:clkeepalived:problem:"
_USAGE_PROBLEMS = frozenset({"malformed-request", "contradiction"})
_OPTIONS = {"ambiguous-vcenter": "--vcenter", "ambiguous-hold": "--owner"}
_OTHER_SOCKET = "use --socket or CLKEEPALIVED_SOCKET for another socket"
_IS_IT_RUNNING = f"is the daemon running (`systemctl status clkeepalived`)? Or {_OTHER_SOCKET}"
_DETAILS = {
    "no-such-session": "check ID, --vcenter and --kind; `clkeepalived status` lists your sessions"
}
"""The details that the command line gives instead of the API's, which names HTTP methods."""


Query = Mapping[str, str | int | bool | None]


class Unreachable(click.ClickException):
    """No daemon answers on the socket; the message names it and says what to do."""

    exit_code = _EXIT_UNAVAILABLE


class RequestRefused(click.ClickException):
    """The daemon answered with a problem document.

    `problem` is the last part of its type, `candidates` are the values that the request could
    mean, and `errors` are the problems of single fields. The exit code is 2 for usage errors, else
    1.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.problem = str(document.get("type", "")).removeprefix(_PROBLEM_TYPE)
        self.candidates: list[str] = [printable(each) for each in document.get("candidates", ())]
        self.errors: list[str] = [
            printable(each.get("message", "")) for each in document.get("errors", ())
        ]
        title = printable(document.get("title", "The daemon refused the request"))
        detail = _DETAILS.get(self.problem) or printable(document.get("detail", ""))
        # The API refers to URLs; the command line refers to options.
        if self.candidates and self.problem in _OPTIONS:
            detail = f"choose one with {_OPTIONS[self.problem]}: {', '.join(self.candidates)}"
        super().__init__(f"{title}: {detail}" if detail else title)
        # a class variable in click
        self.exit_code = _EXIT_USAGE if self.problem in _USAGE_PROBLEMS else 1  # type: ignore[misc]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Control:
    """The daemon behind a control socket. Connects anew for each request.

    All methods raise Unreachable if no answer arrives within `timeout` seconds, and
    RequestRefused for a problem document.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Query | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Any:
        """Send a request and return the JSON of the answer."""
        with self._answer(method, path, body, query, timeout) as (_, response):
            return json.load(response)

    def lines(
        self, method: str, path: str, body: object = None, *, query: Query | None = None
    ) -> Iterator[dict[str, Any]]:
        """Send a request and yield the lines of the answer as they arrive, without a time limit.

        Ends when the daemon ends the stream properly; raises Unreachable if the stream is cut.
        """
        with self._answer(method, path, body, query, ANSWER_SECONDS) as (connection, response):
            connection.sock.settimeout(None)
            while line := response.readline():
                yield json.loads(line)

    @contextmanager
    def _answer(
        self, method: str, path: str, body: object, query: Query | None, timeout: float
    ) -> Iterator[tuple[_Connection, http.client.HTTPResponse]]:
        parameters = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in (query or {}).items()
            if value is not None
        }
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        content = None if body is None else json.dumps(body).encode()
        with closing(_Connection(self.path, timeout)) as connection:
            try:
                connection.request(method, target, content, {"Content-Type": "application/json"})
                response = connection.getresponse()
                if response.status >= http.client.BAD_REQUEST:
                    raise RequestRefused(_problem(response))
                yield connection, response
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Unreachable(_explain(self.path, error)) from error


def session_path(vcenter: str, session_id: str) -> str:
    """Return the URL path of a session."""
    return f"/v1/sessions/{quote(vcenter, safe=':')}/{quote(session_id, safe=':')}"


def _problem(response: http.client.HTTPResponse) -> Mapping[str, Any]:
    try:
        document = json.load(response)
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"detail": f"status {response.status}"}


def _explain(path: Path, error: Exception) -> str:
    """Explain why a socket does not answer, and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return f"no socket at {path}: {_IS_IT_RUNNING}"
    if number == errno.ECONNREFUSED:
        return f"no process listens on {path}: {_IS_IT_RUNNING}"
    if number in (errno.EACCES, errno.EPERM):
        group = _group_of(path)
        return (
            f"permission denied for {path}: only members of the group {group} may connect; ask an "
            f"administrator to run `usermod --append --groups {group} YOU`, and log in again; or "
            f"{_OTHER_SOCKET}"
        )
    if isinstance(error, TimeoutError) or number == errno.EAGAIN:
        return (
            f"the daemon at {path} does not answer: it is busy or stuck; see its log "
            "(`journalctl --unit clkeepalived`)"
        )
    if isinstance(error, http.client.HTTPException | ValueError):
        return f"the answer from {path} was cut off or is not from clkeepalived: {_IS_IT_RUNNING}"
    if number in (errno.ECONNRESET, errno.EPIPE):
        return f"the daemon at {path} closed the connection: {_IS_IT_RUNNING}"
    return f"cannot use {path}: {error}; {_OTHER_SOCKET}"


def _group_of(path: Path) -> str:
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "clkeepalived"
