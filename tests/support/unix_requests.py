"""Use the requests library over a Unix socket, for tools that require it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection

BASE_URL = "http://control.invalid"
_STREAM = "application/x-ndjson"
_SECONDS = 120.0


class UnixAdapter(HTTPAdapter):
    """Sends requests to a Unix socket. Of an endless stream it reads one line."""

    def __init__(self, path: Path) -> None:
        super().__init__()

        class Connection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(_SECONDS)
                connection.connect(str(path))
                return connection

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        self._pool = Pool("control.invalid")

    def get_connection_with_tls_context(self, *_args: Any, **_named: Any) -> Any:
        return self._pool

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> Any:
        response = super().send(request, *args, **named | {"stream": True})
        if response.headers.get("Content-Type") == _STREAM:
            response._content = response.raw.readline()
            response._content_consumed = True
            response.raw._connection and response.raw._connection.close()
        return response

    def close(self) -> None:
        self._pool.close()


def unix_session(path: Path) -> requests.Session:
    """Return a session whose requests to `BASE_URL` go to the socket."""
    session = requests.Session()
    session.trust_env = False
    session.mount(BASE_URL, UnixAdapter(path))
    return session
