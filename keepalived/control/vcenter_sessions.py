"""Lists the sessions that a vCenter has for the daemon's account, held or not; cancels sessions.

Sessions without holds have to be requested one by one. That is done a few at a time, beside the
keepers' own requests, and given up when it takes too long: renewals matter more than a list.
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
    """Which session, and how firmly it is meant."""

    force: Flag = False
    """Cancel even what others hold."""


class AccountSession(Model):
    """One session as the vCenter has it. What could not be read in time is null."""

    vcenter: str
    kind: Kind
    id: str
    state: str | None
    """The server's word: ACTIVE, DONE, ERROR or CANCELED."""

    library: str | None
    item: str | None
    progress: int | None
    """The percentage that the server knows of."""

    bytes_transferred: int | None
    """Bytes that the server has of its files."""

    bytes_total: int | None
    """The size of its files, once the server knows all of them."""

    expires_in: float | None
    """Seconds until the server may let it expire; negative when overdue."""

    error_message: str | None
    since: datetime | None
    """When the daemon began to hold it. When it was opened, vCenter does not tell."""

    holds: tuple[HoldReply, ...]
    """Who holds it here; empty for nobody."""


class AccountList(Model):
    """What a vCenter lists: for admins all of it, for others what they hold themselves.

    It is sent a part at a time, by `send_list`.
    """

    outcome: Outcome
    """How the vCenter answered; `ok` means that it listed its sessions."""

    detail: str
    """What the server or the network said."""

    sessions: tuple[AccountSession, ...]


class CancelReply(Model):
    """What came of cancelling a session."""

    outcome: Outcome
    """`ok` means cancelled."""

    detail: str
    """What the server or the network said."""


class Listed(NamedTuple):
    """The sessions that a vCenter lists, and what was read of those that are not held here."""

    outcome: Outcome
    detail: str
    keys: tuple[SessionKey, ...]
    read: dict[SessionKey, AccountSession]


async def list_account_sessions(
    context: ControlContext, call: Call[VCenterPath, KindQuery, None]
) -> web.StreamResponse:
    """List the sessions that a vCenter has for the daemon's account.

    Administrators get what the vCenter lists, and share one list with all who ask meanwhile. For
    anybody else nothing is asked: they get what they hold, as the daemon knows it.
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
        seen = context.view(call.caller).session(session)
        alike = AccountSession.defaults.keys() & SessionReply.defaults.keys()
        return AccountSession(
            **{name: getattr(seen, name) for name in alike}
            | {
                "state": None if seen.state is State.PENDING else seen.state,
                "expires_in": seen.slack,
                "error_message": None,
            }
        )

    words = json.dumps({"outcome": listed.outcome, "detail": sayable(listed.detail)})
    head = f'{words[:-1]}, "sessions":'.encode()
    return await send_list(context, call.request, head, ((key, key) for key in listed.keys), view)


def _listing(context: ControlContext, keeper: Keeper, kind: Kind) -> asyncio.Task[Listed]:
    """Return the list being requested from the vCenter; start a request if there is none."""
    place = (keeper.name, kind)
    listing = context.listings.get(place)
    if listing is None:
        listing = asyncio.create_task(_list(context, keeper, kind), name="list sessions")
        context.listings[place] = listing
        listing.add_done_callback(lambda _: context.listings.pop(place, None))
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
    read = await _look_at(keeper, unknown)
    return Listed(answer.outcome, answer.detail, tuple(keys), read)


async def cancel_session(
    context: ControlContext, call: Call[SessionPath, CancelQuery, None]
) -> web.Response:
    """Cancel a session on the server: what was uploaded in it is lost."""
    if not call.caller.is_admin:
        # An id does not tell whose session it is, and the daemon's account may own all of them.
        raise ProblemError(
            ProblemType.FORBIDDEN,
            "only root, the daemon's own user and the members of control.admin_group may cancel, "
            "since it is done with the daemon's account; ask one of them, or cancel with the "
            "program that opened the session",
        )
    key = context.key(call)
    keeper = context.keeper(key.vcenter)
    session = context.registry.find(key)
    # The configuration's holds belong to all users, and a discovered session belongs to a user who
    # did not register it.
    others = [
        hold
        for hold in (session.holds if session else ())
        if hold.uid != call.caller.uid or hold.owner.kind in DAEMONS_OWN
    ]
    if others and not call.query.force:
        names = ", ".join(f"{label(hold.owner)} of user {hold.uid}" for hold in others)
        raise ProblemError(
            ProblemType.HELD_BY_OTHERS,
            f"it is held by {names}; ask them first, and then cancel with force=true",
            candidates=[label(hold.owner) for hold in others],
        )
    work = keeper.aside(keeper.vcenter.cancel(key.kind, key.id, timeout=_REQUEST_SECONDS))
    answer = await context.background.run_shielded(work, "cancel a session")
    call.caller.log("cancelled_by", key, outcome=answer.outcome.value)
    if answer.outcome is Outcome.OK:
        # The keeper finds the end by itself, and reports the final state.
        context.holds.renew_soon(key)
    return json_answer(CancelReply(outcome=answer.outcome, detail=answer.detail))


def _known(context: ControlContext, key: SessionKey) -> Session | None:
    """Return a session if the keeper has heard of it lately, so that no request is needed."""
    session = context.registry.find(key)
    return session if session is not None and session.state is State.ACTIVE else None


def _account_session(key: SessionKey, **known: Any) -> AccountSession:
    """Return a session without holds, with the fields that are known."""
    blank: dict[str, Any] = dict.fromkeys(AccountSession.defaults)
    name, kind, session_id = key
    return AccountSession(
        **{**blank, "vcenter": name, "kind": kind, "id": session_id, "holds": (), **known}
    )


async def _look_at(keeper: Keeper, keys: Iterable[SessionKey]) -> dict[SessionKey, AccountSession]:
    """Read sessions one by one, a few at a time; return those that were answered in time."""
    found: dict[SessionKey, AccountSession] = {}
    waiting = iter(keys)

    async def ask() -> None:
        for key in waiting:
            found[key] = await _read(keeper, key)

    try:
        async with asyncio.timeout(_LIST_SECONDS), asyncio.TaskGroup() as tasks:
            for number in range(_AT_ONCE):
                tasks.create_task(ask(), name=f"look at sessions {number}")
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
