"""The API token that a script uses itself: lent to `hold`, it stays fresh, and is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

import keepalived
from tests.support.held import Lab, lab, within
from tests.support.uploader import Refused, call, log_in_at

SHORT = 2.0
"""The configured lifetime of sessions: a hold renews them every second."""


@pytest.fixture
def vcenter() -> Iterator[Lab]:
    with lab(session_timeout=120.0) as served:
        yield served


@pytest.fixture
def token(vcenter: Lab) -> str:
    user = vcenter.credentials()
    environment = {"GOVC_USERNAME": user["username"], "GOVC_PASSWORD": user["password"]}
    return log_in_at({"GOVC_URL": vcenter.url, **environment})


def upload(vcenter: Lab, token: str, session_id: str, wait: Callable[[], None]) -> None:
    """Put a file in one request, in the midst of which it waits; complete it."""
    session = f"{vcenter.url}/api/content/library/item/update-session/{session_id}"
    mine = {"vmware-api-session-id": token}
    file = {"name": "image.iso", "source_type": "PUSH", "size": 30}
    added = call("POST", f"{session}/file", mine, file)

    def content() -> Iterator[bytes]:
        yield b"x" * 15
        wait()
        yield b"x" * 15

    call("PUT", added["upload_endpoint"]["uri"], {**mine, "Content-Length": "30"}, content())
    call("POST", f"{session}?action=complete", mine, {})


def test_alone_the_token_is_gone_after_the_put(vcenter: Lab, token: str) -> None:
    vcenter.do(setattr, vcenter.simulator.logins, "idle_timeout", 0.5)
    with pytest.raises(Refused, match="401"):
        upload(vcenter, token, vcenter.open(), lambda: time.sleep(1.0))


def test_lent_the_token_is_used_during_the_put(vcenter: Lab, token: str) -> None:
    session_id = vcenter.open()
    with keepalived.hold(vcenter.url, session_id, token=token, session_timeout=SHORT) as held:
        upload(vcenter, token, session_id, lambda: vcenter.until_renewed(session_id))
    assert held.end is not None
    assert (held.end.state, held.end.content_moved) == (keepalived.State.DONE, True)
    assert call("GET", f"{vcenter.url}/api/session", {"vmware-api-session-id": token})
    # The hold neither logged in nor out.
    assert (len(vcenter.sent("session.create")), vcenter.sent("session.delete")) == (1, [])


def test_no_word_of_it_repeats_the_token(
    vcenter: Lab, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = vcenter.open()
    with keepalived.hold(vcenter.url, session_id, token=token, session_timeout=SHORT) as held:
        vcenter.do(vcenter.simulator.logins.forget_all)
        within(lambda: "is no longer accepted (401)" in caplog.text)
        said = repr(held) + repr(vars(held))
    with pytest.raises(keepalived.AccessRefused) as refused:
        keepalived.hold(vcenter.url, session_id, token=token).__enter__()
    assert "is no longer accepted (401)" in caplog.text
    assert token not in caplog.text + said + str(refused.value)
