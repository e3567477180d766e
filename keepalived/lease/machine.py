"""The state machine of a session: chooses the next request, and applies its answer.

A round starts with a keep-alive when the session falls due. While other requests follow in the
round (for the session's state, its files), `due` is the current time, so that the next one is sent
at once. A round ends with `due` in the future or with a final state.
"""

from __future__ import annotations

from typing import NamedTuple

from keepalived.lease import events, lending, stalls, timing
from keepalived.lease import holds as hold_rules
from keepalived.lease.answers import Answer, ItemInfo, Outcome, SessionInfo
from keepalived.lease.endings import (
    NOT_EXTENDED,
    Ending,
    Target,
    ending_for_missing,
    ending_from_server,
    resolve_ending,
)
from keepalived.lease.events import Event
from keepalived.lease.latency import UNKNOWN, LatencyEstimate
from keepalived.lease.lending import SessionRequest
from keepalived.lease.model import Kind, State
from keepalived.lease.progress import highest, value_to_send
from keepalived.lease.recent import with_outcome
from keepalived.lease.session import Expiry, RequestKind, Session, Step, finish, with_holds

_SETTLE_TRIES = 3
_SETTLE_SECONDS = 3600.0
"""Report the end after three answers without the item, or after this time (seconds)."""
_EARLY_RENEWALS = 3
_ROUND_MOST = 0.3
"""No other request follows a renewal after this share of a lifetime: the next renewal is near."""


def next_request(
    session: Session,
    now: float,
    configured_timeout: float | None = None,
    latency: LatencyEstimate = UNKNOWN,
    *,
    has_credentials: bool = True,
) -> SessionRequest:
    """Return the next request for a session that is due. Raises ValueError once it has ended.

    Without a configured timeout, in seconds, the timeout depends on the vCenter's `latency`.
    `has_credentials` says whether requests can be sent without a lent token.
    """
    if session.state.is_final:
        raise ValueError(f"{session.key} has ended: no request may be sent for it")
    timeout = configured_timeout or timing.request_timeout(
        session.tries, session.slack(now), session.lifetime, latency
    )
    kind = session.next_kind
    if session.ending is None and now - session.due > timing.floor(session.lifetime):
        # Restart a round that was interrupted (its vCenter went down): renewals come first.
        kind = RequestKind.KEEP_ALIVE
    progress = item_id = None
    if kind is RequestKind.KEEP_ALIVE and not session.omit_progress:
        wanted = hold_rules.client_progress(session.holds, session.transferred)
        progress = value_to_send(wanted, session.acknowledged)
    if kind is RequestKind.ITEM and session.target is not None:
        item_id = session.target.item_id
    token = lending.token_to_use(session, kind, has_credentials=has_credentials)
    return SessionRequest(kind, timeout, progress, item_id, token)


class _Reply(NamedTuple):
    """An answer to a request, processed at the time `now`."""

    request: SessionRequest
    answer: Answer[object]
    now: float
    u: float
    follow_ups: tuple[RequestKind, ...] | None
    stall_timeout: float


def step(
    session: Session,
    request: SessionRequest,
    answer: Answer[object],
    now: float,
    u: float,
    follow_ups: tuple[RequestKind, ...] | None = (),
    stall_timeout: float = stalls.STALL_TIMEOUT,
    *,
    has_credentials: bool = True,
) -> Step:
    """Apply the answer to a request; return the new session and the events.

    `now` is the current time, `u` a random number from [0, 1). `follow_ups` are the requests after
    the keep-alive in every round: GET, FILES, both or none (the first rounds always read the
    session), or None if there is no time for any. `stall_timeout` is in seconds, and
    `has_credentials` as for `next_request`. An answer changes nothing if the session has ended, or
    was restarted after the request.
    """
    is_renewal = request.kind is RequestKind.KEEP_ALIVE and session.ending is None
    if session.state.is_final or not (is_renewal or request.kind is session.next_kind):
        return session, ()
    token = request.token
    if token is not None and answer.outcome is Outcome.UNAUTHENTICATED:
        return _token_refused(session, token, now, has_credentials=has_credentials)
    if token is not None and lending.may_concern_token_alone(
        session, request, answer, has_credentials=has_credentials
    ):
        return lending.with_denial(session, token, answer.outcome)._replace(due=now), ()
    answer = lending.effective_answer(session, request, answer)
    reply = _Reply(request, answer, now, u, follow_ups, stall_timeout)
    if session.denied:
        session = session._replace(denied=())
    if (
        token is not None
        and answer.outcome is Outcome.OK
        and request.kind is RequestKind.KEEP_ALIVE
    ):
        session = session._replace(holds=hold_rules.prove_token(session.holds, token))
    if request.kind is RequestKind.KEEP_ALIVE:
        return _keep_alive_answered(session, reply)
    if request.kind is RequestKind.GET:
        return _get_answered(session, reply)
    if request.kind is RequestKind.FILES:
        return _files_answered(session, reply)
    return _item_answered(session, reply)


def _token_refused(session: Session, token: str, now: float, *, has_credentials: bool) -> Step:
    """Repeat the request at once, with another token or the vCenter's own credentials."""
    holds, concerned = hold_rules.refuse_token(session.holds, token)
    fallback = has_credentials or bool(hold_rules.tokens_in_use(holds))
    happened = tuple(events.TokenRefused(session.key, hold.owner, fallback) for hold in concerned)
    return session._replace(holds=holds, due=now), happened


def _keep_alive_answered(session: Session, reply: _Reply) -> Step:
    request, answer, now = reply.request, reply.answer, reply.now
    outcome = answer.outcome
    recent = with_outcome(session.recent, answer.received_at, outcome)
    if outcome is Outcome.OK:
        return _renewed(session, reply, recent)
    session = session._replace(recent=recent)
    if outcome is Outcome.INVALID_ARGUMENT and request.progress is not None:
        # The server refuses values up to its current one, so this one counts as acknowledged.
        known = highest(session.acknowledged, request.progress)
        again = session._replace(acknowledged=known, omit_progress=True, due=now)
        return again._replace(next_kind=RequestKind.KEEP_ALIVE, needs_confirmation=False), ()
    if outcome in (Outcome.NOT_ALLOWED, Outcome.NOT_FOUND):
        return session._replace(next_kind=RequestKind.GET, needs_confirmation=True, due=now), ()
    return _fail(session, reply)


def _renewed(session: Session, reply: _Reply, recent: bytes) -> Step:
    """Apply a successful renewal. The most frequent step, so it creates only one new session."""
    sent_at, progress, renewals = reply.answer.sent_at, reply.request.progress, session.renewals + 1
    follow_up = _next_follow_up(session, reply, sent_at, renewals)
    due = (
        _next_renewal(session.lifetime, sent_at, renewals, reply)
        if follow_up is None
        else reply.now
    )
    slack = session.slack(reply.answer.received_at)
    event = events.Renewed(session.key, session.renewals == 0, slack, progress)
    renewed = session._replace(
        state=State.ACTIVE,
        recent=recent,
        renewed_at=sent_at,
        renewals=renewals,
        tries=0,
        omit_progress=False,
        acknowledged=highest(session.acknowledged, progress),
        last_error="",
        next_kind=follow_up or RequestKind.KEEP_ALIVE,
        needs_confirmation=False,
        due=due,
    )
    return renewed, (event,)


def _get_answered(session: Session, reply: _Reply) -> Step:
    answer, info = reply.answer, reply.answer.value
    if answer.outcome is Outcome.OK and isinstance(info, SessionInfo):
        seen, happened = _learn(session, info)
        ending = ending_from_server(info)
        if ending is not None:
            return _after(_settle(seen, ending, reply.now), happened)
        if not session.needs_confirmation:
            return _after(_follow_up(seen, reply), happened)
        detail = f"keep-alive was refused, although the server reports state {info.state}"
        contradiction = answer._replace(outcome=Outcome.FAILED, detail=detail)
        return _after(_fail(seen, reply._replace(answer=contradiction)), happened)
    if answer.outcome is Outcome.NOT_FOUND and session.without_effect:
        return _settle(session, NOT_EXTENDED, reply.now)
    if not session.needs_confirmation:
        # Only a keep-alive answered by 404 ends a session.
        return _follow_up_failed(session, reply)
    if answer.outcome is Outcome.NOT_FOUND:
        kind, deadline = session.key.kind, session.deadline
        return _settle(session, ending_for_missing(kind, deadline, answer.received_at), reply.now)
    return _fail(session, reply)


def _files_answered(session: Session, reply: _Reply) -> Step:
    files = reply.answer.value
    if reply.answer.outcome is not Outcome.OK or not isinstance(files, tuple):
        return _follow_up_failed(session, reply)
    failed_before = {file.name for file in session.files if file.status == "ERROR"}
    happened = tuple(
        events.FileFailed(session.key, file)
        for file in files
        if file.status == "ERROR" and file.name not in failed_before
    )
    seen, movement = _watch_movement(session._replace(files=files), session.files, reply)
    if seen.state.is_final:
        return seen, (*happened, *movement)
    return _after(_follow_up(seen, reply), (*happened, *movement))


def _watch_movement(session: Session, before: stalls.Files, reply: _Reply) -> Step:
    """Compare the files with the previous reading, and release the session if it is abandoned."""
    now, files, stall_timeout = reply.now, session.files, reply.stall_timeout
    moved_at = stalls.moved_at(session.moved_at, before, files, now)
    pulling_since = stalls.pulling_since(session.pulling_since, before, files, now)
    if moved_at is None and pulling_since is None and not session.stalled:
        return session, ()
    session = session._replace(moved_at=moved_at, pulling_since=pulling_since)
    idle = 0.0 if moved_at is None else now - moved_at
    waited = 0.0 if pulling_since is None else now - pulling_since
    has_failed = stalls.have_failed(files)
    happened: tuple[Event, ...] = ()
    if max(idle, waited) >= stalls.WARNING_SHARE * stall_timeout:
        if not session.stalled:
            session = session._replace(stalled=True)
            happened = (events.SessionStalled(session.key, max(idle, waited)),)
    elif idle <= 0 and session.stalled:
        session = session._replace(stalled=False)
        happened = () if has_failed else (events.SessionMoving(session.key),)
    if idle <= 0 and moved_at is not None and not has_failed:
        session = session._replace(holds=hold_rules.after_movement(session.holds, now))
    if idle < stall_timeout or not hold_rules.is_guarded(session.holds):
        return session, happened
    left = hold_rules.unguarded(session.holds)
    cause = "all its files have failed" if has_failed else "its transfer has stalled for too long"
    reason = f"{cause}, and it has no other hold"
    return _after(with_holds(session, left, reason, now), happened)


def _item_answered(session: Session, reply: _Reply) -> Step:
    outcome, item = reply.answer.outcome, reply.answer.value
    ending, target = session.ending, session.target
    if isinstance(item, ItemInfo):
        session = session._replace(item=item)
    if ending is None:
        return _end_round(session, reply), ()
    if isinstance(item, ItemInfo) and target is not None:
        return finish(session, resolve_ending(ending, target, item), reply.now)
    if outcome is Outcome.NOT_FOUND:
        gone = ending._replace(reason=f"{ending.reason}; its item is gone, too")
        return finish(session, gone, reply.now)
    # An unreachable vCenter does not count: wait for it, to report whether the content arrived.
    unsettled = session.unsettled + (not outcome.is_vcenter_failure)
    began = reply.now if session.settling_since is None else session.settling_since
    if unsettled >= _SETTLE_TRIES or reply.now - began >= _SETTLE_SECONDS:
        return finish(session, ending, reply.now)
    after, _ = _fail(session, reply)
    return after._replace(next_kind=RequestKind.ITEM, unsettled=unsettled), ()


def _learn(session: Session, info: SessionInfo) -> Step:
    """Learn the lifetime, the item, and other clients' progress from the answer to `get`."""
    happened: tuple[Event, ...] = ()
    target, is_active = session.target, info.state == "ACTIVE"
    # Without a renewal just before the reading, the time left is not the whole lifetime.
    if is_active and not session.needs_confirmation:
        session, happened = _learn_lifetime(session, info)
    # The version counts as the initial one only while the session is ACTIVE. A session that has
    # ended before the first reading still tells its item.
    item_id, version = info.item_id, info.content_version
    if target is None and item_id is not None and not (is_active and version is None):
        target = Target(item_id, version if is_active else None)
    acknowledged = highest(session.acknowledged, info.client_progress)
    return session._replace(target=target, acknowledged=acknowledged), happened


def _learn_lifetime(session: Session, info: SessionInfo) -> Step:
    """Learn how long the session lives, and whether renewals move its expiration time."""
    happened: list[Event] = []
    left, configured = info.lifetime_left, session.configured_lifetime
    if left is not None:
        lifetime = timing.learned_lifetime(left, configured)
        # Readings vary by the seconds between renewal and reading, so report only large changes.
        if abs(lifetime - session.lifetime) > 0.1 * session.lifetime:
            learned = events.LifetimeLearned(
                session.key, session.lifetime, lifetime, configured, info.clock_ahead
            )
            happened.append(learned)
        session = session._replace(lifetime=lifetime)
    if info.expires_at is None or session.renewed_at is None:
        return session, tuple(happened)
    expiry = Expiry(info.expires_at, session.renewed_at)
    before = session.expiry
    if before is None or before.renewed_at >= expiry.renewed_at:
        return session._replace(expiry=before or expiry), tuple(happened)
    # Servers may round the time; one that grants more than a lifetime need not extend it yet.
    expected = _EXTENDED_SHARE * (expiry.renewed_at - before.renewed_at)
    is_unmoved = expiry.at - before.at < expected and (left is None or left < configured)
    if is_unmoved and not session.without_effect:
        happened.append(events.RenewalWithoutEffect(session.key, left))
    return session._replace(expiry=expiry, without_effect=is_unmoved), tuple(happened)


_EXTENDED_SHARE = 0.25
"""A renewal has an effect if `expiration_time` moves by this share of the time between renewals."""


def _follow_up(session: Session, reply: _Reply) -> Step:
    """Make the next request of this round due, or end the round."""
    sent_at = reply.now if session.renewed_at is None else session.renewed_at
    follow_up = _next_follow_up(session, reply, sent_at, session.renewals)
    if follow_up is None:
        return _end_round(session, reply), ()
    return session._replace(next_kind=follow_up, needs_confirmation=False, due=reply.now), ()


def _next_follow_up(
    session: Session, reply: _Reply, sent_at: float, renewals: int
) -> RequestKind | None:
    """Return the next request of the round whose renewal was sent at `sent_at`, or None."""
    follow_ups, answered = reply.follow_ups, reply.request.kind
    if follow_ups is None or reply.now - sent_at > _ROUND_MOST * session.lifetime:
        return None
    early = renewals <= _EARLY_RENEWALS
    if answered is RequestKind.KEEP_ALIVE and (
        RequestKind.GET in follow_ups or (early and session.target is None)
    ):
        return RequestKind.GET
    if answered in _BEFORE_FILES and (
        RequestKind.FILES in follow_ups or hold_rules.is_guarded(session.holds)
    ):
        return RequestKind.FILES
    if (
        answered is not RequestKind.ITEM
        and early
        and session.target is not None
        and session.item is None
    ):
        return RequestKind.ITEM
    return None


_BEFORE_FILES = (RequestKind.KEEP_ALIVE, RequestKind.GET)


def _follow_up_failed(session: Session, reply: _Reply) -> Step:
    """Continue the round, or end it if the vCenter cannot be reached."""
    if reply.answer.outcome.is_vcenter_failure:
        return _end_round(session, reply), ()
    return _follow_up(session, reply)


def _end_round(session: Session, reply: _Reply) -> Session:
    """End the round, and schedule the next renewal."""
    sent_at = reply.now if session.renewed_at is None else session.renewed_at
    due = _next_renewal(session.lifetime, sent_at, session.renewals, reply)
    return session._replace(next_kind=RequestKind.KEEP_ALIVE, needs_confirmation=False, due=due)


def _next_renewal(lifetime: float, sent_at: float, renewals: int, reply: _Reply) -> float:
    """Return when the next renewal is due, after `renewals` renewals."""
    delay = timing.renewal_delay(lifetime, reply.u, first=renewals <= 1)
    return max(sent_at + delay, reply.now + timing.floor(lifetime))


def _settle(session: Session, ending: Ending, now: float) -> Step:
    """End the session once its library item, if known, has been read."""
    if session.target is None or session.key.kind is not Kind.UPDATE:
        return finish(session, ending, now)
    settling = session._replace(
        ending=ending, settling_since=now, next_kind=RequestKind.ITEM, due=now
    )
    return settling._replace(needs_confirmation=False, tries=0), ()


def _fail(session: Session, reply: _Reply) -> Step:
    """End the round, and schedule another attempt."""
    answer, now, slack = reply.answer, reply.now, session.slack(reply.now)
    tries = session.tries + 1
    delay = timing.retry_delay(tries, slack, session.lifetime, reply.u)
    delay = timing.delay_with_retry_after(delay, answer.retry_after, slack, session.lifetime)
    error = answer.detail or answer.outcome.value
    failed = session._replace(tries=tries, due=now + delay, last_error=error)
    event = events.RenewalFailed(session.key, answer.outcome, error, delay, slack, session.lifetime)
    return failed._replace(next_kind=RequestKind.KEEP_ALIVE, needs_confirmation=False), (event,)


def _after(result: Step, happened: tuple[Event, ...]) -> Step:
    session, more = result
    return session, (*happened, *more)
