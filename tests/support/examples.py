"""How many examples each property is tried on, and whether they are the same in every run.

EXAMPLES_SHARE is the share of the usual number. Below 1 the examples are derived from the test
itself, so that an unchanged test passes or fails alike in every run; with 1 (`make test-all`), or
with FUZZ_EXAMPLES (`make fuzz`), they are random.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SHARE = float(os.environ.get("EXAMPLES_SHARE", "0.2"))
_IS_REPEATABLE = _SHARE < 1 and "FUZZ_EXAMPLES" not in os.environ
_FEWEST = 5


def examples(number: int) -> int:
    """Return the share of `number` that EXAMPLES_SHARE asks for, but at least five."""
    return max(_FEWEST, round(number * _SHARE))


def load_profile() -> None:
    """Set what holds for every property. Nothing in it depends on how fast the machine is."""
    settings.register_profile(
        "clkeepalived",
        max_examples=examples(100),
        derandomize=_IS_REPEATABLE,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("clkeepalived")
