"""Taking, updating and releasing holds."""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import structlog
from aiohttp import web

from keepalived.control import streams
from keepalived.control.callers import Caller
from keepalived.control.holders import DAEMONS_OWN, Party, size_of
from keepalived.control.lending import lent, try_at_once
from keepalived.control.owners import process_owner
from keepalived.control.problems import Problem, ProblemError
from keepalived.control.replies import ReleaseReply, SessionReply
from keepalived.control.requests import (
    ConnectionOwner,
    HoldQuery,
    HoldWish,
    KindQuery,
    PidOwner,
    ProgressWish,
    SessionPath,
    TtlOwner,
)
from keepalived.control.room import Call, Reply, Room
from keepalived.control.traces import log_by, log_owner_ended
from keepalived.control.views import is_called, label
from keepalived.keeper.registry import UnknownVCenterError
from keepalived.lease.holds import Hold, Owner, OwnerKind, latest_until
from keepalived.lease.model import SessionKey
from keepalived.lease.progress import UNKNOWN
from keepalived.lease.session import Session
from keepalived.observe.feed import Event

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_RELEASED = "the hold was let go; the session goes on for others who hold it, if anybody does"
_UNRECORDED = (
    "the hold was let go, but that could not be written down (see the daemon's log; is the disk "
    "full?): a restart may bring it back, so release it again once there is room"
)

log = structlog.get_logger("clkeepalived")

PutCall = Call[SessionPath, KindQuery, HoldWish]


async def put_hold(room: Room, call: PutCall) -> Reply | web.StreamResponse:
    """Take the caller's hold for one owner, or update it."""
    key = room.key(call, call.query)
    if key.vcenter not in room.vcenters():
        raise room.no_such_vcenter(key.vcenter)
    party = Party(call.caller.uid, _owner(call))
    session = room.registry.find(key)
    before = None if session is None else _standing(session, party)
    if before is None:
        _check_counts(room, call.caller, key, session)
    hold = _wished(room, call.body, party, before)
    _check_bytes(room, call.caller, hold, before)
    commit = _commit(room, call.caller, key, hold, before)
    if party.owner.kind is OwnerKind.CONNECTION:
        return await _hold_while_connected(room, call, key, party, commit)
    is_new = await room.errands.finish(commit, "take a hold")
    return Reply(_seen(room, call, key), 201 if is_new else 200)


async def patch_hold(room: Room, call: Call[SessionPath, HoldQuery, ProgressWish]) -> Reply:
    """Say how far the upload is, or lend a fresh token; a time limit begins anew.

    Concerns all holds that are meant.
    """
    key = room.key(call, call.query)
    now = room.clock.boot()
    progress = call.body.to_progress()
    for hold in _meant(room, call, key):
        updated = replace(
            hold,
            until=now + float(hold.owner.id)
            if hold.owner.kind is OwnerKind.TIME_LIMIT
            else hold.until,
            progress=progress or hold.progress,
            token=lent(call.body, hold),
        )
        _check_bytes(room, call.caller, updated, hold)
        await room.errands.finish(_commit(room, call.caller, key, updated, hold), "update a hold")
    return Reply(_seen(room, call, key))


async def delete_hold(room: Room, call: Call[SessionPath, HoldQuery, None]) -> Reply:
    """Let a hold go. Nothing is cancelled on the server."""
    key = room.key(call, call.query)
    holds = _meant(room, call, key, to_release=True)
    if len(holds) > 1:
        labels = [label(hold.owner) for hold in holds]
        raise ProblemError(
            Problem.AMBIGUOUS_HOLD,
            f"there are {len(holds)} holds; name one by ?owner= (and ?uid=, for admins): "
            + ", ".join(
                f"{name} of user {hold.uid}" for name, hold in zip(labels, holds, strict=True)
            ),
            candidates=labels,
        )
    hold = holds[0]
    work = room.registry.let_go(key, hold.uid, hold.owner)
    recorded = await room.errands.finish(work, "let go of a hold")
    log_by(call.caller, "hold_released_by", key, owner=label(hold.owner), holder=hold.uid)
    return Reply(
        ReleaseReply(
            released=room.view(call.caller).hold(hold),
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


def _standing(session: Session, party: Party) -> Hold | None:
    """Return the hold that a party has already, a time limit's length aside."""
    for hold in session.holds:
        is_limit = hold.owner.kind is party.owner.kind is OwnerKind.TIME_LIMIT
        if hold.uid == party.uid and (is_limit or hold.owner == party.owner):
            return hold
    return None


def _check_counts(room: Room, caller: Caller, key: SessionKey, session: Session | None) -> None:
    """Raise ProblemError if there is no room for one more hold."""
    limits = room.limits
    room.holders.catch_up()
    if session is None and len(room.registry) >= limits.sessions:
        raise ProblemError(
            Problem.FULL,
            f"{limits.sessions} sessions are known, which is the limit; release some, or wait "
            "until those that have ended are forgotten",
        )
    holds = () if session is None else session.holds
    if len(holds) >= limits.holds_per_session_in_all:
        raise ProblemError(
            Problem.TOO_MANY,
            f"there are {len(holds)} holds on this session, which is the limit; it is kept alive "
            "by those",
        )
    if room.holders.usage().holds >= limits.holds:
        raise ProblemError(
            Problem.FULL, f"there are {limits.holds} holds, which is the limit; release some"
        )
    if caller.is_admin:
        return
    if sum(hold.uid == caller.uid for hold in holds) >= limits.holds_per_session:
        raise ProblemError(
            Problem.TOO_MANY,
            f"user {caller.uid} has {limits.holds_per_session} holds on this session, which is the "
            "limit; release some",
        )
    if room.holders.usage(caller.uid).holds >= limits.holds_per_uid:
        raise ProblemError(
            Problem.TOO_MANY,
            f"user {caller.uid} has {limits.holds_per_uid} holds, which is the limit; release some",
        )
    own = room.holders.count(caller.uid, limits.sessions_per_uid)
    if own >= limits.sessions_per_uid and not room.sees(caller, key):
        raise ProblemError(
            Problem.TOO_MANY,
            f"user {caller.uid} has {own} sessions, which is the limit; release some, or wait "
            "until those that have ended are forgotten",
        )


def _check_bytes(room: Room, caller: Caller, hold: Hold, before: Hold | None) -> None:
    """Raise ProblemError if there is no room for the texts that come with a hold."""
    more = size_of(hold) - (0 if before is None else size_of(before))
    if more <= 0:
        return
    limits, holders = room.limits, room.holders
    holders.catch_up()
    if holders.usage().bytes + more > limits.hold_bytes:
        raise ProblemError(
            Problem.FULL,
            f"all notes and tokens together have {limits.hold_bytes} bytes at most; release some "
            "holds, or leave the note out",
        )
    if not caller.is_admin and holders.usage(caller.uid).bytes + more > limits.hold_bytes_per_uid:
        raise ProblemError(
            Problem.TOO_MANY,
            f"the notes and tokens of user {caller.uid} have {limits.hold_bytes_per_uid} bytes at "
            "most; release some holds, or leave the note out",
        )


def _wished(room: Room, wish: HoldWish, party: Party, before: Hold | None) -> Hold:
    now = room.clock.boot()
    kind = party.owner.kind
    lifetime = wish.owner.ttl if isinstance(wish.owner, TtlOwner) else wish.max_lifetime
    return Hold(
        uid=party.uid,
        owner=party.owner,
        since=now,
        until=latest_until(kind, now, lifetime),
        progress=wish.to_progress() or (before.progress if before else UNKNOWN),
        note=wish.note if wish.note is not None else before.note if before else "",
        token=lent(wish, before),
    )


async def _commit(
    room: Room, caller: Caller, key: SessionKey, hold: Hold, before: Hold | None
) -> bool:
    """Take a hold, and all that belongs to it, or none of it. Returns whether it is a new one."""
    party = Party(hold.uid, hold.owner)
    is_ward = hold.owner.kind is OwnerKind.PROCESS
    if is_ward:
        room.owners.watch(key, party, is_admin=caller.is_admin)
    try:
        is_new = await room.registry.take(key, hold)
    except BaseException as error:
        if not _holds(room, key, party):
            room.owners.forget(key, party)
        if isinstance(error, UnknownVCenterError):
            raise room.no_such_vcenter(key.vcenter) from error
        if isinstance(error, OSError):
            raise _unwritten(error) from error
        raise
    if is_ward and not room.owners.is_watched(party):
        await room.registry.let_go(key, *party)
        raise ProblemError(Problem.NOT_YOUR_PROCESS, f"{label(hold.owner)} has just ended")
    if before is not None and before.owner != hold.owner:
        # Another time limit than before: still that user's one hold with a time limit.
        await room.registry.let_go(key, before.uid, before.owner)
    room.holders.note_change(key)
    try_at_once(room, key, hold, before)
    is_new = is_new and before is None
    log_by(
        caller,
        "hold_taken_by" if is_new else "hold_updated_by",
        key,
        # Progress comes every second from some uploads.
        level=logging.INFO if is_new else logging.DEBUG,
        owner=label(hold.owner),
        holder=hold.uid,
        note=hold.note,
    )
    return is_new


def _unwritten(error: OSError) -> ProblemError:
    """Return the problem with a hold that could not be made to last."""
    if error.errno in _NO_ROOM:
        return ProblemError(
            Problem.FULL,
            "the hold could not be written down, since the disk is full: make room where "
            "state.path is, and try again; what is held already is renewed on",
        )
    log.error("hold_not_recorded", reason=str(error))
    return ProblemError(
        Problem.UNAVAILABLE,
        "the hold could not be written down; the daemon's log says why (hold_not_recorded)",
    )


def _meant(
    room: Room,
    call: Call[SessionPath, HoldQuery, Any],
    key: SessionKey,
    *,
    to_release: bool = False,
) -> list[Hold]:
    """Return the holds that a request means: at least one. Raises ProblemError.

    What discovery holds is changed by nobody, and released by admins where nothing else is meant.
    """
    session = room.session(call.caller, key)
    if session.state.is_final:
        raise ProblemError(
            Problem.SESSION_ENDED,
            f"the session has ended ({session.state}), and its holds with it; PUT begins anew",
        )
    uid, caller = call.query.uid, call.caller
    mine = [hold for hold in session.holds if hold.uid == (caller.uid if uid is None else uid)]
    if not caller.is_admin:
        mine = [hold for hold in mine if hold.uid == caller.uid]
    elif uid is None and not any(hold.owner.kind not in DAEMONS_OWN for hold in mine):
        mine = list(session.holds)
    selector = call.query.owner
    named = [hold for hold in mine if selector is None or is_called(hold.owner, selector)]
    changeable = [hold for hold in named if hold.owner.kind not in DAEMONS_OWN]
    if to_release and not changeable and caller.is_admin:
        changeable = [hold for hold in named if hold.owner.kind is OwnerKind.DISCOVERY]
    if named and not changeable:
        raise ProblemError(
            Problem.CONFIGURED_HOLD,
            "the session is held by discovery: release that, or take a hold of your own with PUT"
            if named[0].owner.kind is OwnerKind.DISCOVERY
            else f"the session is held by {named[0].owner.id}: change that file",
        )
    if not changeable:
        raise ProblemError(
            Problem.NO_SUCH_HOLD,
            "no hold of this session is meant by that; GET the session to see its holds",
            candidates=[label(hold.owner) for hold in mine],
        )
    return changeable


def _holds(room: Room, key: SessionKey, party: Party) -> bool:
    session = room.registry.find(key)
    return session is not None and any(hold.is_by(*party) for hold in session.holds)


def _seen(room: Room, call: Call[SessionPath, Any, Any], key: SessionKey) -> SessionReply:
    """Return the session as it is after a change, or what it ended as meanwhile."""
    return room.view(call.caller).session(room.session(call.caller, key))


async def _hold_while_connected(
    room: Room,
    call: PutCall,
    key: SessionKey,
    party: Party,
    commit: Coroutine[Any, Any, bool],
) -> web.StreamResponse:
    """Hold for as long as the caller reads on, and say what happens meanwhile.

    Whoever comes with the name of a hold that another connection keeps takes it over.
    """
    place = (key, party)

    def wants(event: Event) -> bool:
        return event.key == key and room.hears(call.caller, event)

    with streams.listening(room, wants) as subscription:
        former = room.attached.get(place)
        room.attached[place] = subscription
        if former is not None:
            former.close()
        taking = room.errands.start(commit, "take a hold")
        try:
            is_new = await asyncio.shield(taking)
            room.owners.came_back(key, party)
            response = await streams.begin(call.request, 201 if is_new else 200)
            await streams.write(response, _seen(room, call, key))
            while _holds(room, key, party) and (event := await subscription.next()) is not None:
                await room.turns.take(call.caller.uid)
                await streams.write(response, streams.line(event))
            return response
        finally:
            if room.attached.get(place) is subscription:
                del room.attached[place]
                if not room.is_closing:
                    # After a stop the hold waits for its owner to come back.
                    work = _let_go_after(room, taking, key, party)
                    room.errands.send(work, "let go of what a connection held")


async def _let_go_after(
    room: Room, taking: asyncio.Task[bool], key: SessionKey, party: Party
) -> None:
    await asyncio.wait([taking])
    if taking.exception() is None and _holds(room, key, party):
        log_owner_ended(key, party, "its connection was closed")
        await room.registry.let_go(key, *party)
