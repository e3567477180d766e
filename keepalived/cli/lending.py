"""Read the uploader's own API token, from a file or from govc's cached session; its options."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from keepalived.host.files import FileTooLargeError, read_file
from keepalived.lease.holds import TOKEN_MAX_LENGTH, token_in

STDIN = "-"

ReadToken = Callable[[], str | None]
"""Returns the current token to lend, or None. Raises ClickException."""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_READ_AT_MOST = 4 * TOKEN_MAX_LENGTH


def token_options(command: CommandT) -> CommandT:
    """Add `--token-file` and `--govc-session` to a command."""
    command = click.option(
        "--govc-session",
        is_flag=True,
        help="Lend the API session that govc has cached for GOVC_URL.",
    )(command)
    return click.option(
        "--token-file",
        metavar="FILE",
        type=click.Path(allow_dash=True, readable=False),  # errors are reported by our own code
        help="Lend the uploader's API token from this file; - is standard input.",
    )(command)


def token_reader(token_file: str | None, govc_session: bool) -> ReadToken:
    """Return the function that reads the token. Raises UsageError if both options are given.

    Standard input is read once; files are read again at each call, since tokens change.
    """
    if token_file is not None and govc_session:
        raise click.UsageError("--token-file and --govc-session cannot be combined")
    if token_file == STDIN:
        token = _checked("stdin", sys.stdin.buffer.read(_READ_AT_MOST + 1))
        return lambda: token
    if token_file is not None:
        return lambda: _token_in(Path(token_file))
    return _govc_token if govc_session else lambda: None


def _token_in(path: Path) -> str:
    try:
        content, _ = read_file(path, most=_READ_AT_MOST, pipes=True)
    except FileTooLargeError:
        content = b"x" * _READ_AT_MOST  # `_checked` refuses it as it does any content of this size
    except OSError as error:
        raise click.ClickException(f"--token-file {path}: {error.strerror}") from error
    return _checked(f"--token-file {path}", content)


def _checked(source: str, content: bytes) -> str:
    try:
        return token_in(content)
    except ValueError as error:
        raise click.ClickException(f"{source}: {error}") from None


def _govc_token() -> str:
    from keepalived.host.govc import GovcSessionError, cached_session, home_directory

    try:
        cached = cached_session(os.environ, home_directory())
    except GovcSessionError as error:
        raise click.ClickException(f"--govc-session: {error}") from None
    if cached is None:
        raise click.ClickException(
            "--govc-session: govc has no cached API session for GOVC_URL; run `govc session.login` "
            "in the upload's environment, or use --token-file"
        )
    return cached.token
