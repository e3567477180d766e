"""Taking, updating and releasing holds."""

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

_RELEASED = "the hold was let go; the session goes on for others who hold it, if anybody does"
_UNRECORDED = (
    "the hold was let go, but that could not be written down (see the daemon's log; is the disk "
    "full?): a restart may bring it back, so release it again once there is room"
)

PutCall = Call[SessionPath, KindQuery, HoldRequest]


async def put_hold(context: ControlContext, call: PutCall) -> web.StreamResponse:
    """Take the caller's hold for one owner, or update it."""
    key = context.key(call)
    context.keeper(key.vcenter)  # refuses a vCenter that is not configured
    wish = call.body
    party = HolderKey(call.caller.uid, _owner(call))
    session = context.registry.find(key)
    before = None if session is None else _standing(session, party)
    now = context.clock.boot()
    hold = Hold(
        uid=party.uid,
        owner=party.owner,
        since=now,
        until=latest_until(
            party.owner.kind,
            now,
            wish.owner.ttl if isinstance(wish.owner, TtlOwner) else wish.max_lifetime,
        ),
        progress=wish.to_progress() or (before.progress if before else UNKNOWN),
        note=wish.note if wish.note is not None else before.note if before else "",
        token=_lent(wish, before),
    )
    context.holds.check(call.caller, key, hold, before)
    taking = context.holds.take(call.caller, key, hold, before)
    if party.owner.kind is OwnerKind.CONNECTION:
        return await _hold_while_connected(context, call, key, party, taking)
    is_new = await context.background.run_shielded(taking, "take a hold")
    return json_answer(context.seen(call.caller, key), 201 if is_new else 200)


async def patch_hold(
    context: ControlContext, call: Call[SessionPath, HoldQuery, ProgressUpdate]
) -> web.Response:
    """Say how far the upload is, or lend a fresh token; a time limit begins anew.

    Concerns all holds that are meant.
    """
    key = context.key(call)
    now = context.clock.boot()
    progress = call.body.to_progress()
    for hold in _meant(context, call, key):
        updated = replace(
            hold,
            until=now + float(hold.owner.id)
            if hold.owner.kind is OwnerKind.TIME_LIMIT
            else hold.until,
            progress=progress or hold.progress,
            token=_lent(call.body, hold),
        )
        context.holds.check(call.caller, key, updated, hold)
        taking = context.holds.take(call.caller, key, updated, hold)
        await context.background.run_shielded(taking, "update a hold")
    return json_answer(context.seen(call.caller, key))


async def delete_hold(
    context: ControlContext, call: Call[SessionPath, HoldQuery, None]
) -> web.Response:
    """Let a hold go. Nothing is cancelled on the server."""
    key = context.key(call)
    holds = _meant(context, call, key, to_release=True)
    if len(holds) > 1:
        names = ", ".join(f"{label(hold.owner)} of user {hold.uid}" for hold in holds)
        raise ProblemError(
            ProblemType.AMBIGUOUS_HOLD,
            f"there are {len(holds)} holds; name one by ?owner= (and ?uid=, for admins): {names}",
            candidates=[label(hold.owner) for hold in holds],
        )
    hold = holds[0]
    work = context.registry.release_durably(key, hold.uid, hold.owner)
    recorded = await context.background.run_shielded(work, "let go of a hold")
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
            # The length is kept where a restart finds it: each PATCH extends the hold by it.
            return Owner(OwnerKind.TIME_LIMIT, f"{ttl:.3f}".rstrip("0").rstrip("."))
        case ConnectionOwner(connection=name):
            return Owner(OwnerKind.CONNECTION, secrets.token_hex(8) if name is True else name)
    return Owner(OwnerKind.NONE)


def _standing(session: Session, party: HolderKey) -> Hold | None:
    """Return the hold that a party already has; a time limit's length is not compared."""
    for hold in session.holds:
        is_limit = hold.owner.kind is party.owner.kind is OwnerKind.TIME_LIMIT
        if hold.uid == party.uid and (is_limit or hold.owner == party.owner):
            return hold
    return None


def _lent(wish: ProgressUpdate, before: Hold | None) -> LentToken | None:
    """Return a hold's token after a request: the present one unless the request changes it.

    A token that was refused stays refused, however often it is lent.
    """
    token = before.token if before is not None else None
    if "token" not in wish.given:
        return token
    if wish.token is None:
        return None
    value = wish.token.reveal()
    return token if token is not None and token.value == value else LentToken(value)


def _meant(
    context: ControlContext,
    call: Call[SessionPath, HoldQuery, Any],
    key: SessionKey,
    *,
    to_release: bool = False,
) -> list[Hold]:
    """Return the holds that a request refers to: at least one. Raises ProblemError.

    Discovery's holds cannot be changed; admins may release them if the request matches no other
    hold.
    """
    session = context.session(call.caller, key)
    if session.state.is_final:
        raise ProblemError(
            ProblemType.SESSION_ENDED,
            f"the session has ended ({session.state}), and its holds with it; PUT begins anew",
        )
    caller, selector = call.caller, call.query.owner
    uid = caller.uid if call.query.uid is None else call.query.uid
    mine = [
        hold for hold in session.holds if hold.uid == uid and (caller.is_admin or uid == caller.uid)
    ]
    is_default = caller.is_admin and call.query.uid is None
    if is_default and all(hold.owner.kind in DAEMONS_OWN for hold in mine):
        mine = list(session.holds)
    named = [hold for hold in mine if selector is None or is_called(hold.owner, selector)]
    changeable = [hold for hold in named if hold.owner.kind not in DAEMONS_OWN]
    if to_release and not changeable and caller.is_admin:
        changeable = [hold for hold in named if hold.owner.kind is OwnerKind.DISCOVERY]
    if named and not changeable:
        raise ProblemError(
            ProblemType.CONFIGURED_HOLD,
            "the session is held by discovery: release that, or take a hold of your own with PUT"
            if named[0].owner.kind is OwnerKind.DISCOVERY
            else f"the session is held by {named[0].owner.id}: change that file",
        )
    if not changeable:
        raise ProblemError(
            ProblemType.NO_SUCH_HOLD,
            "no hold of this session is meant by that; GET the session to see its holds",
            candidates=[label(hold.owner) for hold in mine],
        )
    return changeable


async def _hold_while_connected(
    context: ControlContext,
    call: PutCall,
    key: SessionKey,
    party: HolderKey,
    work: Coroutine[Any, Any, bool],
) -> web.StreamResponse:
    """Hold the session while the caller reads, and stream its events.

    A caller that uses the name of a hold that another connection keeps takes that hold over.
    """
    place = (key, party)

    def wants(entry: StreamEntry) -> bool:
        return entry.key == key and context.hears(call.caller, entry)

    with context.events.subscribe(wants, context.limits.events_waiting) as subscription:
        former = context.attached.get(place)
        context.attached[place] = subscription
        if former is not None:
            former.close()
        taking = context.background.spawn(work, "take a hold")
        try:
            is_new = await asyncio.shield(taking)
            context.owners.came_back(key, party)
            response = await streams.begin(call.request, 201 if is_new else 200)
            await streams.write(response, context.seen(call.caller, key))
            while (
                context.registry.is_held(key, *party)
                and (entry := await subscription.next()) is not None
            ):
                await context.turns.take(call.caller.uid)
                await streams.write(response, streams.line(entry))
            return response
        finally:
            if context.attached.get(place) is subscription:
                del context.attached[place]
                if not context.is_closing:
                    # After a stop the hold waits for its owner to reconnect.
                    ending = _let_go_after(context, taking, key, party)
                    context.background.spawn_unwatched(ending, "let go of what a connection held")


async def _let_go_after(
    context: ControlContext, taking: asyncio.Task[bool], key: SessionKey, party: HolderKey
) -> None:
    await asyncio.wait([taking])
    if taking.exception() is None and context.registry.is_held(key, *party):
        await context.owners.release_all([(key, party)], "its connection was closed")
