"""Field types that several request models share."""

from __future__ import annotations

import re
from typing import Annotated

from keepalived.lease.holds import TOKEN_MAX_LENGTH, check_token
from keepalived.lease.model import SESSION_ID_MAX_LENGTH, check_session_id
from keepalived.settings.base import LARGEST_INTEGER
from keepalived.settings.durations import DurationTooLongError, parse_duration
from keepalived.validation import (
    After,
    Before,
    Contradiction,
    JsonSchema,
    Length,
    Pattern,
    Range,
    Secret,
)
from keepalived.validation.problems import kind_of

LONGEST_HOLD = 366 * 86400.0

_NAME = "[A-Za-z0-9._:-]"
_VCENTER_NAME = re.compile(f"^{_NAME}{{1,255}}$")
_OWNER_NAME = re.compile(f"^{_NAME}{{1,64}}$")
_LINE = re.compile("^[^\\x00-\\x1f\\x7f-\\x9f]*$")
# Like durations.PATTERN, but ASCII only, of bounded length, and not zero.
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,3})?"
_DURATION = re.compile(rf"^(?=.*[1-9])({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s?)?$")


def _duration(value: object) -> float:
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        raise ValueError("must be a duration such as 90s, 2m, 1h30m or 7d")
    try:
        seconds = parse_duration(value)
    except DurationTooLongError as error:
        # The schema bounds numbers, but its pattern cannot bound a text.
        if isinstance(value, str):
            raise Contradiction("a duration here is at most 366 days") from error
        raise
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    if seconds > LONGEST_HOLD:
        raise Contradiction("a duration here is at most 366 days")
    return seconds


def _token(text: object) -> Secret:
    if not isinstance(text, str):
        raise ValueError(f"must be text, not {kind_of(text)}")
    if check_token(text) != text:
        raise ValueError("must be without white space around the token")
    return Secret(text)


def _boolean(value: object) -> object:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


def _whole(value: object) -> object:
    """Accept 5.0 as 5: JSON has only one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal()):
            raise ValueError("must be a number")
        return int(value)
    return value


Duration = Annotated[
    float,
    Before(_duration),
    JsonSchema(
        {
            "anyOf": [
                {"exclusiveMinimum": 0, "maximum": LONGEST_HOLD, "type": "number"},
                {"pattern": _DURATION.pattern, "type": "string"},
            ],
        }
    ),
]
SessionId = Annotated[
    str,
    After(check_session_id),
    JsonSchema(
        {"pattern": f"^(?!\\.\\.?$){_NAME}{{1,{SESSION_ID_MAX_LENGTH}}}$", "type": "string"}
    ),
]
VCenterName = Annotated[str, Pattern(_VCENTER_NAME, "must consist of letters, digits and . _ : -")]
OwnerName = Annotated[
    str, Pattern(_OWNER_NAME, "must consist of at most 64 letters, digits and . _ : -")
]
TextLine = Annotated[
    str,
    Length(most=500),
    Pattern(_LINE, "must be one line, without control characters"),
]
"""A line of text for display, without control characters that could affect a terminal."""

Token = Annotated[
    Secret,
    Before(_token),
    JsonSchema(
        {"pattern": f"^[!-~]{{1,{TOKEN_MAX_LENGTH}}}$", "type": "string", "writeOnly": True}
    ),
]
"""An uploader's API token. It is a secret, so no error or response contains it."""

Flag = Annotated[bool, Before(_boolean)]
Number = Annotated[int, Range(0, LARGEST_INTEGER), Before(_number)]
Whole = Before(_whole)
Count = Annotated[int, Range(0, LARGEST_INTEGER), Whole]
