"""Runs inside a machine under test, as a service of root: does what the tests ask for.

It listens on a Unix socket in a folder that the machine shares with the host. Each connection asks
for one command, a JSON object in a line, and gets one back. Needs Python alone.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys


class Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        try:
            done = subprocess.run(
                asked["command"],
                input=asked["input"],
                capture_output=True,
                text=True,
                timeout=asked["seconds"],
                check=False,
            )
            said = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
        except (OSError, subprocess.TimeoutExpired) as error:
            said = {"code": 255, "out": "", "err": str(error)}
        self.wfile.write(json.dumps(said).encode() + b"\n")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    path = sys.argv[1]
    if os.path.exists(path):
        os.unlink(path)
    with Server(path, Asked) as server:
        server.serve_forever()
