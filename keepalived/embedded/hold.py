"""`keepalived.hold`: keep a session alive while a `with` block runs."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Self, TypedDict, Unpack, overload

from keepalived.embedded.arguments import HoldArguments, check
from keepalived.embedded.errors import HoldError, InvalidArguments, SessionLost, describe_end
from keepalived.embedded.hold_runner import Departure, HoldRunner, is_loss
from keepalived.embedded.hold_state import HoldState, OnEnd, logger
from keepalived.embedded.loop_thread import LoopThread
from keepalived.host.clock import SystemClock
from keepalived.lease.events import SessionEnd
from keepalived.lease.model import Kind, State
from keepalived.lease.progress import Progress

AnyKind = Kind | Literal["update", "download"]
AnyDialect = Literal["auto", "api", "rest"]
AnyPath = str | os.PathLike[str]


class SessionHold:
    """A session that is kept alive while a `with` or `async with` block runs. Created by `hold`.

    All methods and properties may be used in any thread. They have no effect in a process that was
    forked within the block: the process that entered the block keeps the session.
    """

    def __init__(self, wanted: HoldArguments, connect_timeout: float) -> None:
        self._wanted = wanted
        self._state = HoldState()
        self._runner = HoldRunner(wanted, self._state, SystemClock(), connect_timeout)
        self._give_up = partial(self._runner.leave, Departure.AT_ONCE)
        self._background: LoopThread | None = None
        self._reported = Progress()

    @property
    def session_id(self) -> str:
        """The server's id of the session."""
        return self._wanted.key.id

    @property
    def kind(self) -> Kind:
        """The kind of the session."""
        return self._wanted.key.kind

    @property
    def state(self) -> State:
        """The state of the session, as of the last answer.

        PENDING before the block, ACTIVE within it until the session ends in a final state, and
        RELEASED after a block in which it did not end.
        """
        return self._state.state

    @property
    def end(self) -> SessionEnd | None:
        """How the session ended; None while no end is known."""
        return self._state.end

    def on_end(self, callback: OnEnd) -> None:
        """Call `callback(end)` once if the session ends within the block; at once if it has ended.

        It is called in a separate thread in a `with` block, and in the event loop of an
        `async with` block. Its exceptions are logged.
        """
        self._state.on_end(callback)

    @overload
    def progress(self, percent: int, /) -> None: ...
    @overload
    def progress(self, done: int, total: int, /) -> None: ...
    def progress(self, value: int, total: int | None = None, /) -> None:
        """Report the transfer's progress to the server with the next renewal.

        In percent, or as bytes done of a total. Cheap enough to call for every chunk of a transfer;
        values that do not rise are not sent. Raises InvalidArguments.
        """
        for each in (value,) if total is None else (value, total):
            if type(each) is not int:
                raise InvalidArguments(f"progress must be an int, not {each!r}")
        try:
            if total is None:
                progress = Progress(percent=value)
            else:
                # `value` may include protocol overhead; that is no reason for an upload to fail.
                progress = Progress(done=min(value, max(0, total)), total=total)
        except ValueError as error:
            raise InvalidArguments(str(error)) from None
        if progress.client_progress == self._reported.client_progress:
            return
        self._reported = progress
        if self._background is None:
            self._runner.report(progress)
        else:
            self._background.call(self._runner.report, progress)

    # -- the block

    def __enter__(self) -> Self:
        background = self._start()
        try:
            background.entered.result()
        except BaseException:
            background.call(self._give_up)
            background.join()
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        background = self._leave(error)
        if background is not None:
            background.join()
            self._conclude(background, error)

    async def __aenter__(self) -> Self:
        self._state.deliver = partial(_call_in, asyncio.get_running_loop())
        background = self._start()
        try:
            await asyncio.wrap_future(background.entered)
        except BaseException:
            background.call(self._give_up)
            await asyncio.wrap_future(background.over)
            background.join()
            raise
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        background = self._leave(error)
        if background is not None:
            await asyncio.wait([asyncio.wrap_future(background.over)])
            background.join()
            self._conclude(background, error)

    def _start(self) -> LoopThread:
        if self._background is not None:
            raise HoldError("a hold can be entered only once: call hold() again for another block")
        for message in self._wanted.warnings:
            logger.warning("%s: %s", self._wanted.settings.url, message)
        name = f"keepalived {self.session_id}"
        background = LoopThread(name, self._runner.run, self._give_up)
        background.start()
        self._background = background
        return background

    def _leave(self, error: BaseException | None) -> LoopThread | None:
        """Ask the thread to end; return it if it has to be waited for, None in another process.

        After Ctrl-C, or another exception that is no ordinary error, no more requests are sent.
        """
        background = self._background
        if background is None or not background.is_here:
            return None
        is_ordinary = error is None or isinstance(error, Exception)
        departure = Departure.POLL if is_ordinary else Departure.AT_ONCE
        background.call(self._runner.leave, departure)
        return background

    def _conclude(self, background: LoopThread, error: BaseException | None) -> None:
        """Raise the error to report at the end; the block's own exception only gets a note."""
        end, trouble = self.end, background.over.exception() if background.over.done() else None
        if error is not None:
            if end is not None and is_loss(end):
                error.add_note(f"keepalived: {describe_end(end)}")
            if trouble is not None:
                error.add_note(f"keepalived: the session was not kept alive: {trouble!r}")
        elif trouble is not None:
            raise HoldError(f"the session was not kept alive: {trouble!r}") from trouble
        elif end is not None and is_loss(end):
            raise SessionLost(end)

    def __del__(self) -> None:
        background = getattr(self, "_background", None)
        if background is not None and background.is_running:
            background.call(self._give_up)
            warnings.warn(f"{self!r} was never exited", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        where = self._wanted.settings.url
        return f"<hold on {self.kind} session {self.session_id} at {where}: {self.state}>"


class _CommonArguments(TypedDict, total=False):
    """The arguments of `hold` that both kinds of credentials allow."""

    kind: AnyKind
    ca_file: AnyPath | None
    fingerprints: str | Sequence[str]
    insecure: bool
    proxy: str | None
    dialect: AnyDialect
    session_timeout: float | str
    connect_timeout: float


@overload
def hold(
    url: str, session_id: str, *, token: str, **arguments: Unpack[_CommonArguments]
) -> SessionHold: ...
@overload
def hold(
    url: str,
    session_id: str,
    *,
    username: str,
    password: str,
    **arguments: Unpack[_CommonArguments],
) -> SessionHold: ...
def hold(
    url: str,
    session_id: str,
    *,
    token: str | None = None,
    username: str | None = None,
    password: str | None = None,
    kind: AnyKind = Kind.UPDATE,
    ca_file: AnyPath | None = None,
    fingerprints: str | Sequence[str] = (),
    insecure: bool = False,
    proxy: str | None = None,
    dialect: AnyDialect = "auto",
    session_timeout: float | str = 300.0,
    connect_timeout: float = 10.0,
) -> SessionHold:
    """Keep a Content Library session alive while a block runs.

    `token` is the API token that the script itself uses: it is kept fresh as well, and never
    logged out. With `username` and `password` the hold logs in, and logs out at the end.
    `ca_file`, `fingerprints` (SHA-256) or `insecure` replace the system's trusted certificates.
    `session_timeout` is the value configured in the Content Library Service, `connect_timeout` how
    long to wait for a vCenter that does not answer when the block is entered, both in seconds.

    Raises InvalidArguments; entering the block raises AccessRefused, VCenterUnavailable and
    SessionLost, and leaving it SessionLost, each a HoldError. An exception of the block itself is
    never replaced: it then gets a note about a loss.
    """
    if type(connect_timeout) not in (int, float) or not connect_timeout > 0:
        raise InvalidArguments(
            f"connect_timeout: must be a number of seconds above 0, not {connect_timeout!r}"
        )
    wanted = check(
        url,
        session_id,
        kind,
        token=token,
        username=username,
        password=password,
        ca_file=ca_file,
        fingerprints=fingerprints,
        insecure=insecure,
        proxy=proxy,
        dialect=dialect,
        session_timeout=session_timeout,
    )
    return SessionHold(wanted, connect_timeout)


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        logger.warning("the end of a session cannot be reported: the event loop is closed")
