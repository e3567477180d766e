"""Lists the sessions that a vCenter has for the daemon's account, held or not; cancels sessions.

The handlers and their models. Fields of a listed session that the daemon holds are copied from its
`SessionReply`.

Sessions without holds have to be requested one by one. This is done a few at a time, in addition to
the keepers' own requests, and ends if it takes too long: renewals are more important than a list.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from aiohttp import web

from keepalived.control.base import Flag
from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import json_answer
from keepalived.control.hold_index import DAEMONS_OWN
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.replies import HoldReply, SessionReply
from keepalived.control.requests import KindQuery, SessionPath, VCenterPath
from keepalived.control.streams import send_list
from keepalived.control.views import label, sizes_of
from keepalived.host.slices import in_slices
from keepalived.keeper.keeper import Keeper
from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import Session
from keepalived.lease.text import sayable
from keepalived.validation import Model

_REQUEST_SECONDS = 10.0
_LIST_SECONDS = 20.0
_AT_ONCE = 2
_KEYS_PER_SLICE = 1000


class CancelQuery(KindQuery):
    """Selects a session to cancel."""

    force: Flag = False
    """Cancel the session even if others hold it."""


class AccountSession(Model):
    """One session as the vCenter reports it. Fields that could not be read in time are null."""

    vcenter: str
    kind: Kind
    id: str
    state: str | None
    """The state on the server: ACTIVE, DONE, ERROR or CANCELED."""

    library: str | None
    item: str | None
    progress: int | None
    """The percentage that the server has recorded."""

    bytes_transferred: int | None
    """Bytes of its files that the server has."""

    bytes_total: int | None
    """The total size of its files; null until the server knows all sizes."""

    expires_in: float | None
    """Seconds until the session may expire on the server; negative when overdue."""

    error_message: str | None
    since: datetime | None
    """When the daemon began to hold the session. vCenter does not report when it was opened."""

    holds: tuple[HoldReply, ...]
    """The holds that the daemon has on the session."""


class AccountList(Model):
    """The sessions of a vCenter: all that it lists for admins, their own for other users."""

    # Only for the schema: `send_list` sends the list in slices.

    outcome: Outcome
    """The outcome of the request; `ok` means that the vCenter listed its sessions."""

    detail: str
    """The message of the server or of the network error."""

    sessions: tuple[AccountSession, ...]


class CancelReply(Model):
    """The result of cancelling a session."""

    outcome: Outcome
    """`ok` means cancelled."""

    detail: str
    """The message of the server or of the network error."""


class Listed(NamedTuple):
    """The sessions that a vCenter lists, and the details of those that are not held here."""

    outcome: Outcome
    detail: str
    keys: tuple[SessionKey, ...]
    read: dict[SessionKey, AccountSession]


async def list_account_sessions(
    context: ControlContext, call: Call[VCenterPath, KindQuery, None]
) -> web.StreamResponse:
    """List the sessions that a vCenter has for the daemon's account.

    Admins get the vCenter's list; concurrent requests share one. Other users get the sessions that
    they hold, as the daemon knows them, without a request to the vCenter.
    """
    keeper = context.keeper(context.vcenter(call.path.vcenter))
    kind = call.query.kind
    if call.caller.is_admin:
        listed = await asyncio.shield(_listing(context, keeper, kind))
    else:
        own = (
            session.key
            for session in context.sessions(call.caller, mine=True)
            if session.key[:2] == (keeper.name, kind) and not session.state.is_final
        )
        listed = Listed(Outcome.OK, "", tuple(own), {})

    def view(key: SessionKey) -> AccountSession:
        session = _known(context, key) if call.caller.is_admin else context.registry.find(key)
        if session is None:
            return listed.read.get(key) or _account_session(key)
        reply = context.view(call.caller).session(session)
        shared = AccountSession.defaults.keys() & SessionReply.defaults.keys()
        return AccountSession(
            **{name: getattr(reply, name) for name in shared}
            | {
                "state": None if reply.state is State.PENDING else reply.state,
                "expires_in": reply.slack,
                "error_message": None,
            }
        )

    start = json.dumps({"outcome": listed.outcome, "detail": sayable(listed.detail)})
    head = f'{start[:-1]}, "sessions":'.encode()
    return await send_list(context, call.request, head, ((key, key) for key in listed.keys), view)


def _listing(context: ControlContext, keeper: Keeper, kind: Kind) -> asyncio.Task[Listed]:
    """Return the request in progress for the vCenter's list; start one if there is none."""
    request_key = (keeper.name, kind)
    listing = context.listings.get(request_key)
    if listing is None:
        listing = asyncio.create_task(_list(context, keeper, kind), name="list sessions")
        context.listings[request_key] = listing
        listing.add_done_callback(lambda _: context.listings.pop(request_key, None))
    return listing


async def _list(context: ControlContext, keeper: Keeper, kind: Kind) -> Listed:
    answer = await keeper.aside(keeper.vcenter.list(kind, timeout=_REQUEST_SECONDS))
    keys: list[SessionKey] = []
    unknown: list[SessionKey] = []
    async for session_id in in_slices(answer.value or (), _KEYS_PER_SLICE):
        key = SessionKey(keeper.name, kind, session_id)
        keys.append(key)
        if _known(context, key) is None:
            unknown.append(key)
    read = await _read_sessions(keeper, unknown)
    return Listed(answer.outcome, answer.detail, tuple(keys), read)


async def cancel_session(
    context: ControlContext, call: Call[SessionPath, CancelQuery, None]
) -> web.Response:
    """Cancel a session on the server. Its uploaded content is lost."""
    if not call.caller.is_admin:
        # An id does not show whose session it is, and the daemon's account may own all of them.
        raise ProblemError(
            ProblemType.FORBIDDEN,
            "only root, the daemon's own user and the members of control.admin_group may cancel, "
            "because this uses the daemon's account; ask one of them, or cancel with the program "
            "that opened the session",
        )
    key = context.key(call)
    keeper = context.keeper(key.vcenter)
    session = context.registry.find(key)
    # The configuration's holds count as other users' holds, and so do those of discovery, whose
    # users are not known.
    others = [
        hold
        for hold in (session.holds if session else ())
        if hold.uid != call.caller.uid or hold.owner.kind in DAEMONS_OWN
    ]
    if others and not call.query.force:
        names = ", ".join(f"{label(hold.owner)} of user {hold.uid}" for hold in others)
        raise ProblemError(
            ProblemType.HELD_BY_OTHERS,
            f"the session is held by {names}; ask them first, and then cancel with force=true",
            candidates=[label(hold.owner) for hold in others],
        )
    work = keeper.aside(keeper.vcenter.cancel(key.kind, key.id, timeout=_REQUEST_SECONDS))
    answer = await context.background.run_shielded(work, "cancel a session")
    call.caller.log("cancelled_by", key, outcome=answer.outcome.value)
    if answer.outcome is Outcome.OK:
        # The renewal makes the keeper find the end and report the final state.
        context.holds.renew_soon(key)
    return json_answer(CancelReply(outcome=answer.outcome, detail=answer.detail))


def _known(context: ControlContext, key: SessionKey) -> Session | None:
    """Return a session if it is held and known to be ACTIVE, so that no request is needed."""
    session = context.registry.find(key)
    return session if session is not None and session.state is State.ACTIVE else None


def _account_session(key: SessionKey, **known: Any) -> AccountSession:
    """Return a session without holds, with the fields that are known."""
    blank: dict[str, Any] = dict.fromkeys(AccountSession.defaults)
    name, kind, session_id = key
    return AccountSession(
        **{**blank, "vcenter": name, "kind": kind, "id": session_id, "holds": (), **known}
    )


async def _read_sessions(
    keeper: Keeper, keys: Iterable[SessionKey]
) -> dict[SessionKey, AccountSession]:
    """Read sessions a few at a time. Return those that were read in time."""
    found: dict[SessionKey, AccountSession] = {}
    waiting = iter(keys)

    async def read_next() -> None:
        for key in waiting:
            found[key] = await _read(keeper, key)

    try:
        async with asyncio.timeout(_LIST_SECONDS), asyncio.TaskGroup() as tasks:
            for number in range(_AT_ONCE):
                tasks.create_task(read_next(), name=f"read sessions {number}")
    except TimeoutError:
        pass
    return found


async def _read(keeper: Keeper, key: SessionKey) -> AccountSession:
    _, kind, session_id = key
    aside, vcenter = keeper.aside, keeper.vcenter
    info = (await aside(vcenter.get(kind, session_id, timeout=_REQUEST_SECONDS))).value
    if info is None:
        return _account_session(key)
    files = (await aside(vcenter.files(kind, session_id, timeout=_REQUEST_SECONDS))).value or ()
    transferred, total = sizes_of(files)
    item = None
    if info.item_id is not None:
        item = (await aside(vcenter.item(info.item_id, timeout=_REQUEST_SECONDS))).value
    return _account_session(
        key,
        state=info.state,
        library=item.library if item else None,
        item=item.name if item else None,
        progress=info.client_progress,
        bytes_transferred=transferred,
        bytes_total=total,
        expires_in=info.lifetime_left,
        error_message=info.error_message,
    )
