"""Handlers that take, update and release holds."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from aiohttp import web

from keepalived.control import streams
from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import json_answer
from keepalived.control.event_stream import StreamEntry
from keepalived.control.hold_index import DAEMONS_OWN, HolderKey
from keepalived.control.owners import process_owner
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.replies import ReleaseReply
from keepalived.control.requests import (
    ConnectionOwner,
    HoldQuery,
    HoldRequest,
    KindQuery,
    PidOwner,
    ProgressUpdate,
    SessionPath,
    TtlOwner,
)
from keepalived.control.views import is_called, label
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind, latest_until
from keepalived.lease.model import SessionKey
from keepalived.lease.progress import UNKNOWN
from keepalived.lease.session import Session

_RELEASED = "the hold was released; any other holds still keep the session alive"
_UNRECORDED = (
    "the hold was released, but this could not be saved (see the daemon's log; is the disk full?): "
    "a restart may bring the hold back, so release it again once there is space"
)

PutCall = Call[SessionPath, KindQuery, HoldRequest]


async def put_hold(context: ControlContext, call: PutCall) -> web.StreamResponse:
    """Take the caller's hold for one owner, or update it."""
    key = context.key(call)
    context.keeper(key.vcenter)  # raises if the vCenter is not configured
    body = call.body
    holder = HolderKey(call.caller.uid, _owner(call))
    session = context.registry.find(key)
    before = None if session is None else _current_hold(session, holder)
    now = context.clock.boot()
    hold = Hold(
        uid=holder.uid,
        owner=holder.owner,
        since=now,
        until=latest_until(
            holder.owner.kind,
            now,
            body.owner.ttl if isinstance(body.owner, TtlOwner) else body.max_lifetime,
        ),
        progress=body.to_progress() or (before.progress if before else UNKNOWN),
        note=body.note if body.note is not None else before.note if before else "",
        token=_new_token(body, before),
    )
    taking = context.holds.take(call.caller, key, hold, before)
    if holder.owner.kind is OwnerKind.CONNECTION:
        return await _hold_while_connected(context, call, key, holder, taking)
    is_new = await context.background.run_shielded(taking, "take a hold")
    return json_answer(context.session_reply(call.caller, key), 201 if is_new else 200)


async def patch_hold(
    context: ControlContext, call: Call[SessionPath, HoldQuery, ProgressUpdate]
) -> web.Response:
    """Report progress, or lend a new token. A time limit starts again.

    Updates all holds that the request selects.
    """
    key = context.key(call)
    now = context.clock.boot()
    progress = call.body.to_progress()
    for hold in _selected_holds(context, call, key):
        updated = replace(
            hold,
            until=now + float(hold.owner.id)
            if hold.owner.kind is OwnerKind.TIME_LIMIT
            else hold.until,
            progress=progress or hold.progress,
            token=_new_token(call.body, hold),
        )
        taking = context.holds.take(call.caller, key, updated, hold)
        await context.background.run_shielded(taking, "update a hold")
    return json_answer(context.session_reply(call.caller, key))


async def delete_hold(
    context: ControlContext, call: Call[SessionPath, HoldQuery, None]
) -> web.Response:
    """Release a hold. Nothing is cancelled on the server."""
    key = context.key(call)
    holds = _selected_holds(context, call, key, to_release=True)
    if len(holds) > 1:
        names = ", ".join(f"{label(hold.owner)} of user {hold.uid}" for hold in holds)
        raise ProblemError(
            ProblemType.AMBIGUOUS_HOLD,
            f"{len(holds)} holds match; select one with ?owner= (and ?uid= for admins): {names}",
            candidates=[label(hold.owner) for hold in holds],
        )
    hold = holds[0]
    work = context.registry.release_durably(key, hold.uid, hold.owner)
    recorded = await context.background.run_shielded(work, "release a hold")
    call.caller.log("hold_released_by", key, owner=label(hold.owner), holder=hold.uid)
    return json_answer(
        ReleaseReply(
            released=context.view(call.caller).hold(hold),
            recorded=recorded is not False,
            detail=_UNRECORDED if recorded is False else _RELEASED,
        )
    )


def _owner(call: PutCall) -> Owner:
    match call.body.owner:
        case PidOwner(pid=pid):
            return process_owner(call.caller, pid)
        case TtlOwner(ttl=ttl):
            # The id stores the length, so that a PATCH can extend the hold after a restart, too.
            return Owner(OwnerKind.TIME_LIMIT, f"{ttl:.3f}".rstrip("0").rstrip("."))
        case ConnectionOwner(connection=name):
            return Owner(OwnerKind.CONNECTION, secrets.token_hex(8) if name is True else name)
    return Owner(OwnerKind.NONE)


def _current_hold(session: Session, holder: HolderKey) -> Hold | None:
    """Return the holder's present hold. The length of a time limit is not compared."""
    for hold in session.holds:
        is_limit = hold.owner.kind is holder.owner.kind is OwnerKind.TIME_LIMIT
        if hold.uid == holder.uid and (is_limit or hold.owner == holder.owner):
            return hold
    return None


def _new_token(body: ProgressUpdate, before: Hold | None) -> LentToken | None:
    """Return a hold's token after a request: the present one unless the request changes it.

    A refused token stays refused if it is lent again.
    """
    token = before.token if before is not None else None
    if "token" not in body.given:
        return token
    if body.token is None:
        return None
    value = body.token.reveal()
    return token if token is not None and token.value == value else LentToken(value)


def _selected_holds(
    context: ControlContext,
    call: Call[SessionPath, HoldQuery, Any],
    key: SessionKey,
    *,
    to_release: bool = False,
) -> list[Hold]:
    """Return the holds that a request selects, at least one. Raises ProblemError.

    Discovery's holds cannot be changed, but admins may release them if no other hold matches.
    """
    session = context.session(call.caller, key)
    if session.state.is_final:
        raise ProblemError(
            ProblemType.SESSION_ENDED,
            f"the session has ended ({session.state}), and so have its holds; PUT takes a new one",
        )
    caller, selector = call.caller, call.query.owner
    uid = caller.uid if call.query.uid is None else call.query.uid
    own = [
        hold for hold in session.holds if hold.uid == uid and (caller.is_admin or uid == caller.uid)
    ]
    is_default = caller.is_admin and call.query.uid is None
    if is_default and all(hold.owner.kind in DAEMONS_OWN for hold in own):
        own = list(session.holds)
    selected = [hold for hold in own if selector is None or is_called(hold.owner, selector)]
    changeable = [hold for hold in selected if hold.owner.kind not in DAEMONS_OWN]
    if to_release and not changeable and caller.is_admin:
        changeable = [hold for hold in selected if hold.owner.kind is OwnerKind.DISCOVERY]
    if selected and not changeable:
        raise ProblemError(
            ProblemType.CONFIGURED_HOLD,
            "discovery holds the session: release that hold, or take your own with PUT"
            if selected[0].owner.kind is OwnerKind.DISCOVERY
            else f"the file {selected[0].owner.id} holds the session: change that file",
        )
    if not changeable:
        raise ProblemError(
            ProblemType.NO_SUCH_HOLD,
            "no hold of this session matches; GET the session to see its holds",
            candidates=[label(hold.owner) for hold in own],
        )
    return changeable


async def _hold_while_connected(
    context: ControlContext,
    call: PutCall,
    key: SessionKey,
    holder: HolderKey,
    work: Coroutine[Any, Any, bool],
) -> web.StreamResponse:
    """Hold the session while the connection is open, and stream its events.

    If another connection keeps a hold of the same name, this one takes it over.
    """
    reference = (key, holder)

    def wants(entry: StreamEntry) -> bool:
        return entry.key == key and context.may_see(call.caller, entry)

    with context.events.subscribe(wants, context.limits.events_waiting) as subscription:
        former = context.attached.get(reference)
        context.attached[reference] = subscription
        if former is not None:
            former.close()
        taking = context.background.spawn(work, "take a hold")
        try:
            is_new = await asyncio.shield(taking)
            context.owners.reconnected(key, holder)
            response = await streams.begin(call.request, 201 if is_new else 200)
            await streams.write(response, context.session_reply(call.caller, key))
            while (
                context.registry.is_held(key, *holder)
                and (entry := await subscription.next()) is not None
            ):
                await context.turns.take(call.caller.uid)
                await streams.write(response, streams.line(entry))
            return response
        finally:
            if context.attached.get(reference) is subscription:
                del context.attached[reference]
                if not context.is_closing:
                    # After a restart the hold waits for its owner to reconnect.
                    ending = _release_after(context, taking, key, holder)
                    context.background.spawn_unwatched(ending, "release the hold of a connection")


async def _release_after(
    context: ControlContext, taking: asyncio.Task[bool], key: SessionKey, holder: HolderKey
) -> None:
    await asyncio.wait([taking])
    if taking.exception() is None and context.registry.is_held(key, *holder):
        await context.owners.release_all([(key, holder)], "its connection was closed")
