"""Tokens: who gets one, and the two limits on its age."""

from __future__ import annotations

import pytest

from keepalived.simulator.errors import ApiError, ErrorType
from keepalived.simulator.logins import Logins, basic_credentials
from tests.support.simulator import Hands, basic


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def logins(hands: Hands) -> Logins:
    logins = Logins(hands, idle_timeout=1800, max_age=86400)
    logins.add_user("uploader", "päss:word")
    return logins


def test_every_call_moves_the_idle_limit(logins: Logins, hands: Hands) -> None:
    token = logins.log_in("uploader", "päss:word")
    for _ in range(10):
        hands.time += 1799
        assert logins.authenticate(token).user.name == "uploader"
    hands.time += 1800
    with pytest.raises(ApiError) as error:
        logins.authenticate(token)
    assert error.value.type is ErrorType.UNAUTHENTICATED


def test_no_call_moves_the_absolute_limit(logins: Logins, hands: Hands) -> None:
    token = logins.log_in("uploader", "päss:word")
    start = hands.time
    while hands.time < start + 86399:
        logins.authenticate(token)
        hands.time = min(hands.time + 1000, start + 86399)
    logins.authenticate(token)
    hands.time = start + 86400
    with pytest.raises(ApiError):
        logins.authenticate(token)


def test_a_token_ends_with_its_logout_or_with_a_restart(logins: Logins) -> None:
    first, second = (logins.log_in("uploader", "päss:word") for _ in range(2))
    logins.log_out(first)
    logins.log_out("unknown")
    with pytest.raises(ApiError):
        logins.authenticate(first)
    logins.authenticate(second)
    logins.forget_all()
    with pytest.raises(ApiError):
        logins.authenticate(second)


def test_tokens_are_told_apart_by_aliases(logins: Logins) -> None:
    tokens = [logins.log_in("uploader", "päss:word") for _ in range(2)]
    logged_in = [logins.peek(token) for token in tokens]
    assert [login.alias for login in logged_in if login] == ["uploader#1", "uploader#2"]
    assert "päss:word" not in repr(logged_in)
    assert not any(token in repr(logged_in) for token in tokens)


@pytest.mark.parametrize(("name", "password"), [("uploader", "wrong"), ("nobody", "päss:word")])
def test_wrong_credentials_are_refused(logins: Logins, name: str, password: str) -> None:
    with pytest.raises(ApiError) as error:
        logins.log_in(name, password)
    assert error.value.type is ErrorType.UNAUTHENTICATED


def test_basic_credentials_may_hold_colons_and_umlauts() -> None:
    header = basic("uploader", "päss:word")["authorization"]
    assert basic_credentials(header) == ("uploader", "päss:word")


@pytest.mark.parametrize("header", ["", "Bearer x", "Basic !", "Basic //8=", "Basic dXNlcg=="])
def test_other_authorization_is_refused(header: str) -> None:
    with pytest.raises(ApiError) as error:
        basic_credentials(header)
    assert error.value.type is ErrorType.UNAUTHENTICATED
