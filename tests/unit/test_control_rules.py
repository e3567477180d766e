"""The rules of the control room that need no socket: who may what, and how it is said."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from keepalived.control import openapi
from keepalived.control.callers import Caller, caller_of
from keepalived.control.encoding import to_json
from keepalived.control.owners import process_owner
from keepalived.control.problems import ProblemError, ProblemType
from keepalived.control.routes import ROUTES
from keepalived.control.views import View, is_called, label, wall_time
from keepalived.host.peers import PeerCredentials
from keepalived.host.processes import process
from keepalived.lease.answers import FileInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from tests.support.sessions import a_session

KEY = SessionKey("lab", Kind.UPDATE, "session-1")
DAEMON, ADMINS = 900, 800


class StoppedClock:
    def boot(self) -> float:
        return 100.0

    def wall(self) -> float:
        return 1_700_000_000.0


@pytest.mark.parametrize(
    ("peer", "is_admin"),
    [
        (PeerCredentials(1, 0, 0), True),
        (PeerCredentials(1, DAEMON, 900), True),
        (PeerCredentials(1, 1000, ADMINS), True),
        (PeerCredentials(1, 1000, 1000, frozenset({5, ADMINS})), True),
        (PeerCredentials(1, 1000, 1000, frozenset({5})), False),
        (PeerCredentials(1, 1000, 0, frozenset({0})), False),
    ],
)
def test_admins_are_root_the_daemon_s_user_and_one_group(
    peer: PeerCredentials, is_admin: bool
) -> None:
    assert caller_of(peer, DAEMON, ADMINS).is_admin is is_admin


def test_without_an_admin_group_there_is_none() -> None:
    peer = PeerCredentials(1, 1000, ADMINS, frozenset({ADMINS}))

    assert not caller_of(peer, DAEMON).is_admin


def caller(pid: int, *, is_admin: bool = False) -> Caller:
    return Caller(os.getuid(), pid, is_admin)


def test_one_s_own_process_can_own_a_hold() -> None:
    owner = process_owner(caller(os.getpid()), os.getpid())

    assert owner == Owner(OwnerKind.PROCESS, str(process(os.getpid())))


@pytest.mark.parametrize("is_admin", [True, False])
def test_a_caller_from_a_namespace_that_is_not_shown_here_names_no_process(is_admin: bool) -> None:
    with pytest.raises(ProblemError) as caught:
        process_owner(caller(0, is_admin=is_admin), os.getpid())

    assert caught.value.problem is ProblemType.NOT_YOUR_PROCESS
    for words in ("another PID namespace", "shareProcessNamespace", "a ttl or a connection"):
        assert words in caught.value.detail


def test_a_caller_that_cannot_be_seen_names_no_process() -> None:
    with pytest.raises(ProblemError, match="is not visible"):
        process_owner(caller(2**22 - 1), os.getpid())


@pytest.mark.parametrize(
    ("owner", "said", "selectors"),
    [
        (Owner(OwnerKind.PROCESS, "12:345:boot"), "pid:12", ("pid:12",)),
        (Owner(OwnerKind.TIME_LIMIT, "120"), "ttl:120", ("ttl", "ttl:120")),
        (Owner(OwnerKind.CONNECTION, "me"), "connection:me", ("connection", "connection:me")),
        (Owner(OwnerKind.NONE), "none", ("none",)),
        (Owner(OwnerKind.FILE, "/a.yaml"), "file:/a.yaml", ()),
    ],
)
def test_owners_have_names_to_say_and_to_select_by(
    owner: Owner, said: str, selectors: tuple[str, ...]
) -> None:
    assert label(owner) == said
    for selector in ("pid:12", "pid:1", "ttl", "ttl:120", "connection", "connection:me", "none"):
        assert is_called(owner, selector) is (selector in selectors)


def test_boot_time_is_said_as_dates() -> None:
    session = a_session(KEY, deadline=160.0, due=130.0, transferred_bytes=5)

    reply = View(StoppedClock(), None).session(session)

    assert reply.deadline == datetime.fromtimestamp(1_700_000_060, UTC)
    assert reply.next_attempt == datetime.fromtimestamp(1_700_000_030, UTC)
    assert reply.slack == 60.0
    assert '"deadline":"2023-11-14T22:14:20Z"' in to_json(reply).decode()


def test_a_time_beyond_all_calendars_is_said_all_the_same() -> None:
    assert wall_time(1e300).year == 9999


def test_sizes_are_summed_once_all_are_known() -> None:
    known = (FileInfo("a", "PUSH", "READY", 3, 4), FileInfo("b", "PUSH", "READY", 1, 6))
    unknown = (*known, FileInfo("c", "PUSH", "WAITING_FOR_TRANSFER"))
    view = View(StoppedClock(), None)
    first = view.session(a_session(KEY)._replace(files=known))
    second = view.session(a_session(KEY)._replace(files=unknown))

    assert (first.bytes_transferred, first.bytes_total) == (4, 10)
    assert (second.bytes_transferred, second.bytes_total) == (4, None)
    assert view.session(a_session(KEY)).bytes_total is None


def test_a_user_is_shown_their_own_holds() -> None:
    mine, other = (Hold(uid, Owner(OwnerKind.NONE), 0.0, None) for uid in (1000, 1001))
    session = a_session(KEY, State.ACTIVE)._replace(holds=(mine, other))

    assert [hold.uid for hold in View(StoppedClock(), 1000).session(session).holds] == [1000]
    assert len(View(StoppedClock(), None).session(session).holds) == 2


def test_the_description_names_every_route_once() -> None:
    document = openapi.describe(ROUTES, "1.2.3")

    described = {
        (method.upper(), path) for path, each in document["paths"].items() for method in each
    }
    session = "/v1/sessions/{vcenter}/{id}"
    assert described == {
        ("GET", "/openapi.json"),
        ("GET", "/v1/sessions"),
        ("GET", session),
        ("PUT", session),
        ("PATCH", session),
        ("DELETE", session),
        ("POST", f"{session}/keep-alive"),
        ("POST", f"{session}/cancel"),
        ("GET", "/v1/events"),
        ("GET", "/v1/vcenters"),
        ("GET", "/v1/vcenters/{vcenter}/sessions"),
        ("GET", "/v1/status"),
        ("POST", "/v1/reload"),
    }
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", "1.2.3")
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))


def test_the_description_refers_to_nothing_that_it_lacks() -> None:
    document = openapi.describe(ROUTES, "1.2.3")

    def references(part: object) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == schemas
