"""Validates untrusted data against annotated classes, and writes their JSON schemas.

All problems are reported at once, each with its place and a message for the user.
"""

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
