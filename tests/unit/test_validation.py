"""Values from outside become models, or all problems are reported with their places."""

from __future__ import annotations

import enum
import json
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest

from keepalived.control.encoding import to_json
from keepalived.validation import (
    HIDDEN,
    After,
    Before,
    Choice,
    Contradiction,
    Earlier,
    InContext,
    Invalid,
    Length,
    Model,
    Pattern,
    Range,
    Secret,
    ShownAs,
    checks,
    validate,
    validate_json,
)
from keepalived.validation.json_schema import schema_of


class Colour(enum.StrEnum):
    """What it looks like."""

    RED = "red"
    GREEN = "green"


class Wheel(Model):
    """It turns."""

    size: Annotated[int, Range(1, 99)]
    """In inches."""

    name: Annotated[
        str, Length(most=5), Pattern(re.compile("^[a-z]*$"), "must be of small letters")
    ] = "x"


class Rail(Model):
    """It does not."""

    length: float


def _which(value: object) -> type[Model] | None:
    names = value if isinstance(value, dict) else ()
    return Wheel if "size" in names else Rail if "length" in names else None


class Cart(Model):
    """A cart.

    It has wheels.
    """

    wheels: tuple[Wheel, ...]
    """Some."""

    colour: Colour = Colour.RED
    on: Annotated[Wheel | Rail, Choice(_which, "must be a wheel or a rail")] | None = None
    open: bool = False
    lock: Literal[True] | Annotated[str, Length(least=1)] = True
    owner: Annotated[str, After(str.strip)] | None = None
    key: Annotated[Secret | None, HIDDEN] = None
    parts: dict[Annotated[str, Pattern(re.compile("^[a-z]+$"), "must be a word")], Wheel] = {}  # noqa: RUF012
    path: Annotated[Path, InContext(lambda path, folder: folder / path)] = Path("here")
    size: Annotated[int | None, Before(lambda value: value or None), ShownAs(bool, default=False)]

    @checks("owner", "open", always=True)
    @staticmethod
    def _is_locked(value: object, earlier: Earlier) -> object:
        if "colour" in earlier and value and earlier.get("on"):
            raise ValueError("goes without `on`")
        return value


class Lenient(Wheel):
    """Nothing after a key is no value."""

    empty_is_left_out: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse what nobody has seen."""
        if self.name == "odd" and self.size % 2 == 0:
            raise Contradiction("odd, and it is even")


def wrong(model: type[Model], data: object) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(Invalid) as refused:
        validate(model, data, Path("/"))
    problems = refused.value.problems
    assert len({each.path for each in problems}) == len(problems)
    return {each.path: each.message for each in problems}


def test_what_is_right_becomes_a_model() -> None:
    cart = validate(
        Cart,
        {
            "wheels": [{"size": 3}, {"size": 4, "name": "b"}],
            "colour": "green",
            "on": {"length": 2},
            "lock": "me",
            "parts": {"spare": {"size": 5}},
            "path": "there",
            "size": 0,
        },
        Path("/home"),
    )
    assert cart == Cart(
        wheels=(Wheel(size=3), Wheel(size=4, name="b")),
        colour=Colour.GREEN,
        on=Rail(length=2),
        lock="me",
        parts={"spare": Wheel(size=5)},
        path=Path("/home/there"),
        size=None,
    )
    assert cart.given == {"wheels", "colour", "on", "lock", "parts", "path", "size"}
    assert validate(Cart, cart) is cart


def test_everything_that_is_wrong_is_said_at_once_in_order() -> None:
    found = wrong(
        Cart,
        {
            "wheels": [{"size": 0}, {"name": "Toolong"}, 3, {"size": True, "nmae": "a"}],
            "colour": "gren",
            "on": {},
            "open": "yes",
            "lock": False,
            "owner": 5,
            "key": "s3cret",
            "parts": {"1": {"size": "7"}},
            "path": 4,
            "clour": 1,
        },
    )
    assert list(found.items()) == [
        (("wheels", 0, "size"), "must be at least 1, not 0"),
        (("wheels", 1, "size"), "is missing"),
        (("wheels", 1, "name"), "must have at most 5 characters, not 7"),
        (("wheels", 2), "must be a mapping, `key: value`, not a number"),
        (("wheels", 3, "size"), "must be a whole number, not true"),
        (("wheels", 3, "nmae"), "this key is not known; did you mean 'name'?"),
        (("colour",), "must be one of red, green, not 'gren'; did you mean 'green'?"),
        (("on",), "must be a wheel or a rail"),
        (("open",), "must be true or false, not 'yes'"),
        (("lock",), "must be true, or must be text, not true or false; put it in quotes"),
        (("owner",), "must be text, not a number; put it in quotes"),
        (("key",), "must be a secret"),
        (("parts", "1"), "must be a word"),
        (("parts", "1", "size"), "must be a whole number, not '7'; remove the quotes"),
        (("path",), "must be the path of a file, not a number"),
        (("size",), "is missing"),
        (("clour",), "this key is not known; did you mean 'colour'?"),
    ]


@pytest.mark.parametrize("value", [None, [], "a", 1])
def test_what_is_no_mapping_is_refused_as_a_whole(value: object) -> None:
    assert "must be a mapping" in wrong(Wheel, value)[()]


def test_a_check_sees_the_fields_before_its_own_that_are_right() -> None:
    data = {"wheels": [], "on": {"size": 1}, "size": 1, "open": True, "owner": "me"}
    assert wrong(Cart, data) == {("open",): "goes without `on`", ("owner",): "goes without `on`"}
    assert wrong(Cart, data | {"colour": "x"}).keys() == {("colour",)}


def test_a_key_with_nothing_after_it_is_left_out_or_wrong() -> None:
    assert validate(Lenient, {"size": 3, "name": None}) == Lenient(size=3)
    assert wrong(Lenient, {"size": None, "more": None}).keys() == {("size",), ("more",)}
    assert wrong(Wheel, {"size": 3, "name": None}).keys() == {("name",)}


def test_where_nothing_is_known_no_key_is_named() -> None:
    assert wrong(type("Empty", (Model,), {}), {"a": 1}) == {
        ("a",): "this key is not known; no key is allowed here"
    }


@pytest.mark.parametrize("count", [1, 2000])
def test_to_refuse_very_much_takes_little_time(count: int) -> None:
    found = wrong(Wheel, {"size": 1} | {f"siz{number}": 1 for number in range(count)})
    assert found["siz0",] == "this key is not known; did you mean 'size'?"
    assert len(found) == count
    assert sum("did you mean" in words for words in found.values()) == min(count, 20)
    assert len(wrong(Cart, {"wheels": [1] * count, "size": 1})) == min(count, 100)
    assert "did you mean" not in wrong(Cart, {"wheels": [], "size": 1, "size" * 99: 1}).popitem()[1]


def test_what_does_not_go_together_is_a_contradiction() -> None:
    with pytest.raises(Invalid) as refused:
        validate(Lenient, {"size": 4, "name": "odd"})
    assert refused.value.problems[0].is_contradiction
    assert str(refused.value) == "odd, and it is even"
    assert not Invalid([]).problems
    with pytest.raises(Contradiction):
        Lenient(size=4, name="odd")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"size": 1', "is not JSON: Expecting ',' delimiter at line 1, column 11"),
        (b"[1]", "must be a JSON object, {…}, not a list"),
        (b"\xff\xfe{\0", "is not UTF-8 text"),
        (b'{"size": NaN}', "NaN is not allowed"),
        (b'{"size": ' + b"[" * 100_000, "is not accepted as JSON"),
        (b'{"size": ' + b"9" * 10_000 + b"}", "is not accepted as JSON"),
        (b'{"size": 1, "name": "\\ud800"}', "contains a lone surrogate"),
    ],
)
def test_json_that_is_none_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate_json(Wheel, raw)
    assert words in str(refused.value)


def test_json_is_taken() -> None:
    assert validate_json(Wheel, b'{"size": 7, "name": "\\u0061"}') == Wheel(size=7, name="a")


def test_nothing_changes_later() -> None:
    wheel = Wheel(size=3)
    with pytest.raises(AttributeError, match="frozen: size"):
        wheel.size = 4  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del wheel.size
    with pytest.raises(AttributeError):
        wheel.other = 4  # type: ignore[attr-defined]
    assert wheel.replace(name="b") == Wheel(size=3, name="b") != wheel
    assert len({wheel, Wheel(size=3), Lenient(size=3)}) == 2
    assert wheel != 3


def test_a_constructor_takes_its_fields_alone() -> None:
    with pytest.raises(TypeError, match="needs 'size'"):
        Wheel()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no shape"):
        Wheel(size=1, shape="round")  # type: ignore[call-arg]


def test_a_secret_is_never_shown() -> None:
    secret = Secret("s3cret")
    cart = validate(Cart, {"wheels": [], "key": secret, "size": 1}, Path("/"))
    assert cart.key == Secret("s3cret") != Secret("other")
    assert secret.reveal() == "s3cret"
    assert len({secret, Secret("s3cret")}) == 1
    for shown in (f"{secret} {secret!r} {cart} {cart!r}", to_json(cart).decode()):
        assert "s3cret" not in shown
        assert "**********" in shown


def test_problems_show_no_value_in_their_repr() -> None:
    with pytest.raises(Invalid) as wrong:
        validate(Cart, {"wheels": [], "size": 1, "key": "s3cret"}, Path("/"))
    with pytest.raises(Invalid) as broken:
        validate_json(Cart, b'{"key": "s3cret"')
    assert "s3cret" not in repr((wrong.value.problems, broken.value.problems))


def test_a_number_of_any_length_is_shown_in_short() -> None:
    with pytest.raises(Invalid) as refused:
        validate(Wheel, {"size": 10**4000})
    assert len(str(refused.value)) < 200


def test_the_schema_says_what_is_taken() -> None:
    schema = json.loads(json.dumps(schema_of(Cart)))
    assert schema["description"] == "A cart.\n\nIt has wheels."
    assert schema["required"] == ["wheels", "size"]
    assert "key" not in schema["properties"]
    assert schema["properties"] == {
        "wheels": {
            "description": "Some.",
            "items": {"$ref": "#/$defs/Wheel"},
            "title": "Wheels",
            "type": "array",
        },
        "colour": {"$ref": "#/$defs/Colour", "default": "red"},
        "on": {
            "anyOf": [
                {"oneOf": [{"$ref": "#/$defs/Wheel"}, {"$ref": "#/$defs/Rail"}]},
                {"type": "null"},
            ],
            "default": None,
            "title": "On",
        },
        "open": {"default": False, "title": "Open", "type": "boolean"},
        "lock": {
            "anyOf": [{"const": True, "type": "boolean"}, {"minLength": 1, "type": "string"}],
            "default": True,
            "title": "Lock",
        },
        "owner": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "default": None,
            "title": "Owner",
        },
        "parts": {
            "additionalProperties": {"$ref": "#/$defs/Wheel"},
            "default": {},
            "propertyNames": {"pattern": "^[a-z]+$", "type": "string"},
            "title": "Parts",
            "type": "object",
        },
        "path": {"default": "here", "format": "path", "title": "Path", "type": "string"},
        "size": {"default": False, "title": "Size", "type": "boolean"},
    }
    assert schema["$defs"]["Colour"] == {
        "description": "What it looks like.",
        "enum": ["red", "green"],
        "title": "Colour",
        "type": "string",
    }
    assert schema["$defs"]["Wheel"]["properties"]["size"] == {
        "description": "In inches.",
        "maximum": 99,
        "minimum": 1,
        "title": "Size",
        "type": "integer",
    }
