"""What requests and replies are made of: a strict model, and fields that occur more than once."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from keepalived.lease.holds import TOKEN_MAX_LENGTH, check_token
from keepalived.lease.model import SESSION_ID_MAX_LENGTH, check_session_id
from keepalived.settings.base import LARGEST_INTEGER
from keepalived.settings.durations import TooLongError, parse_duration

CONTRADICTION = "contradiction"
LONGEST_HOLD = 366 * 86400.0

_NAME = "[A-Za-z0-9._:-]"
# As durations.PATTERN, in ASCII, bounded in length, and with a digit that is not 0.
_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,3})?"
_DURATION = re.compile(rf"^(?=.*[1-9])({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s?)?$")


class Model(BaseModel):
    """Nothing unknown, nothing changed later."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class Query(Model):
    """What stands in a path or a query string: text, which becomes numbers and names."""

    model_config = ConfigDict(strict=False)


def contradiction(words: str) -> PydanticCustomError:
    """Return the error for what has the right form, and still cannot be meant."""
    return PydanticCustomError(CONTRADICTION, "{words}", {"words": words})


def _duration(value: object) -> float:
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        raise ValueError("must be a duration such as 90s, 2m, 1h30m or 7d")
    try:
        seconds = parse_duration(value)
    except TooLongError as error:
        # The schema's pattern cannot bound a text; a number is bounded there, and malformed.
        if isinstance(value, str):
            raise contradiction("a duration here is at most 366 days") from error
        raise
    if seconds <= 0:
        raise ValueError("must be longer than nothing")
    if seconds > LONGEST_HOLD:
        raise contradiction("a duration here is at most 366 days")
    return seconds


def _token(text: str) -> str:
    if check_token(text) != text:
        raise ValueError("an API token has no white space around it")
    return text


def _boolean(value: object) -> object:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


def _whole(value: object) -> object:
    """Take 5.0 for 5: JSON has numbers of one kind alone."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    if isinstance(value, str):
        if not (value.isascii() and value.isdecimal()):
            raise ValueError("must be a number")
        return int(value)
    return value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_HOLD},
                {"type": "string", "pattern": _DURATION.pattern},
            ],
        }
    ),
]
SessionId = Annotated[
    str,
    AfterValidator(check_session_id),
    WithJsonSchema(
        {"type": "string", "pattern": f"^(?!\\.\\.?$){_NAME}{{1,{SESSION_ID_MAX_LENGTH}}}$"}
    ),
]
VCenterName = Annotated[str, Field(pattern=f"^{_NAME}{{1,255}}$")]
OwnerName = Annotated[str, Field(pattern=f"^{_NAME}{{1,64}}$")]
Words = Annotated[str, Field(max_length=500, pattern="^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
"""A line of text that is shown to people: nothing in it steers a terminal."""

Token = Annotated[
    str,
    AfterValidator(_token),
    WithJsonSchema(
        {"type": "string", "pattern": f"^[!-~]{{1,{TOKEN_MAX_LENGTH}}}$", "writeOnly": True}
    ),
]
"""An uploader's secret: no error and no answer repeats it, and fields of it have `repr=False`."""

Flag = Annotated[bool, BeforeValidator(_boolean)]
Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER), BeforeValidator(_number)]
Whole = BeforeValidator(_whole)
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER), Whole]
