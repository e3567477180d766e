"""Look up the user's command, and start it as a shell would."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

NOT_FOUND = 127
CANNOT_EXECUTE = 126

_SET_BY_PYTHON = "LC_CTYPE"
"""In the C locale Python sets this for itself (PEP 538), and child processes would inherit it."""

_IGNORED_BY_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})


class CommandError(Exception):
    """A command cannot be started. `exit_code` is the exit code of a shell in that case."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def check(name: str) -> None:
    """Check that a command exists, by the system's rules. Raises CommandError if it does not.

    A few look-ups in directories, cheap enough to do before anything else. Errors that show only
    when a file is executed (it is no program, its interpreter is missing) are raised by `spawn`.
    """
    denied: OSError | None = None
    for path in _candidates(name):
        try:
            if Path(path).is_file() and os.access(path, os.X_OK, effective_ids=True):
                return
            if Path(path).exists():
                denied = PermissionError(errno.EACCES, path)
        except PermissionError as error:
            denied = error
        except OSError:
            continue
    raise _error(name, denied or FileNotFoundError(errno.ENOENT, name))


def spawn(
    argv: Sequence[str], *, also_default: Iterable[signal.Signals] = (), blocked: Iterable[int] = ()
) -> int:
    """Start a command in a new process group and return its pid. Raises CommandError.

    Arguments, environment, streams, open files and the signals ignored at our own start pass
    through unchanged; signals that Python itself ignores, and `also_default`, have their default
    action. The signals `blocked` are blocked, and no others.
    """
    if not argv[0]:  # Python would not pass it on
        raise _error("", FileNotFoundError(errno.ENOENT, ""))
    try:
        return os.posix_spawnp(
            argv[0],
            list(argv),
            _environment(),
            setpgroup=0,
            setsigmask=sorted(blocked),
            setsigdef=sorted(_IGNORED_BY_PYTHON | set(also_default)),
        )
    except OSError as error:
        raise _error(argv[0], error) from error


def _candidates(name: str) -> Iterable[str]:
    if "/" in name:
        return [name]
    if not name:
        return []
    return [os.path.join(folder or os.curdir, name) for folder in os.get_exec_path()]


def _error(name: str, error: OSError) -> CommandError:
    code = CANNOT_EXECUTE
    if error.errno == errno.ENOENT:
        code = NOT_FOUND
        is_there = any(Path(path).exists() for path in _candidates(name))
        message = "interpreter not found" if is_there else "command not found"
    elif error.errno == errno.EACCES and "/" in name and Path(name).is_dir():
        message = "is a directory"
    elif error.errno == errno.ENOEXEC:
        message = "neither a program nor a script with a #! line"
    else:
        message = os.strerror(error.errno or errno.EINVAL).lower()
    return CommandError(f"{name or repr(name)}: {message}", code)


def _environment() -> dict[bytes, bytes]:
    variables = dict(os.environb)
    name = _SET_BY_PYTHON.encode()
    if name in variables:
        given = Path("/proc/self/environ").read_bytes().split(b"\0")
        if not any(entry.startswith(name + b"=") for entry in given):
            del variables[name]
    return variables
