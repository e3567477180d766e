"""Handlers for the daemon as a whole: its vCenters, status and configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aiohttp import web

from keepalived.control.callers import Caller
from keepalived.control.context import Call, ControlContext
from keepalived.control.encoding import json_answer
from keepalived.control.problems import FieldError, ProblemError, ProblemType
from keepalived.control.replies import ReloadReply, StatusReply, VCenterList, VCenterReply
from keepalived.control.requests import NoParams
from keepalived.lease.session import Session
from keepalived.lease.timing import is_at_risk

PlainCall = Call[NoParams, NoParams, None]


async def list_vcenters(context: ControlContext, call: PlainCall) -> web.Response:
    """List the vCenters, and whether they answer."""
    vcenters = _vcenters(context, call.caller, context.sessions(call.caller))
    return json_answer(VCenterList(vcenters=vcenters))


async def get_status(context: ControlContext, call: PlainCall) -> web.Response:
    """Count the sessions that the caller may see."""
    sessions = list(context.sessions(call.caller))
    now = context.clock.boot()
    live = [session for session in sessions if not session.state.is_final]
    overdue = at_risk = 0
    for session in live:
        slack = session.slack(now)
        if slack is not None and slack < 0:
            overdue += 1
        elif is_at_risk(slack, session.lifetime):
            at_risk += 1
    return json_answer(
        StatusReply(
            version=context.version,
            is_admin=call.caller.is_admin,
            idle=not live,
            held=len(live),
            at_risk=at_risk,
            overdue=overdue,
            states=dict(Counter(session.state for session in sessions)),
            vcenters=_vcenters(context, call.caller, live),
        )
    )


async def reload(context: ControlContext, call: PlainCall) -> web.Response:
    """Read the configuration again."""
    if not call.caller.is_admin:
        raise ProblemError(
            ProblemType.FORBIDDEN,
            "only root, the daemon's own user and the members of control.admin_group may reload; "
            "ask one of them, or use `systemctl reload clkeepalived`",
        )
    call.caller.log("reload_requested_by", None)
    result = await context.background.run_shielded(context.reload(), "reload")
    if not result.applied:
        raise ProblemError(
            ProblemType.CONFIGURATION,
            "the present configuration stays in effect; correct the errors, and reload again",
            errors=[FieldError(field="configuration", message=each) for each in result.problems],
        )
    return json_answer(ReloadReply(refused=result.problems))


def _vcenters(
    context: ControlContext, caller: Caller, sessions: Iterable[Session]
) -> tuple[VCenterReply, ...]:
    held = Counter(session.key.vcenter for session in sessions if not session.state.is_final)
    views = sorted(
        (keeper.view() for keeper in context.registry.keepers), key=lambda view: view.name
    )
    return tuple(
        VCenterReply(
            name=view.name,
            up=view.up,
            sessions=held[view.name],
            in_flight=view.in_flight if caller.is_admin else None,
            utilization=view.utilization if caller.is_admin else None,
        )
        for view in views
    )
