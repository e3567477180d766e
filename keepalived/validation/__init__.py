"""Values from outside, checked against the annotations of a class: all errors at once, each with
its place, in words for people; and the JSON schema of what is taken."""

from keepalived.validation.fields import (
    HIDDEN,
    After,
    Before,
    Choice,
    InContext,
    JsonSchema,
    Length,
    Pattern,
    Range,
    ShownAs,
)
from keepalived.validation.model import Earlier, Model, checks
from keepalived.validation.problems import Contradiction, FieldProblem, Invalid
from keepalived.validation.reading import fields_of, validate, validate_json
from keepalived.validation.secret import Secret

__all__ = [
    "HIDDEN",
    "After",
    "Before",
    "Choice",
    "Contradiction",
    "Earlier",
    "FieldProblem",
    "InContext",
    "Invalid",
    "JsonSchema",
    "Length",
    "Model",
    "Pattern",
    "Range",
    "Secret",
    "ShownAs",
    "checks",
    "fields_of",
    "validate",
    "validate_json",
]
