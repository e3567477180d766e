"""Set the number of examples for property tests, and whether they are random.

EXAMPLES_SHARE is the share of the usual number. Below 1 the examples are derived from the test, so
that an unchanged test has the same result in every run. With 1 (`make test-all`) or FUZZ_EXAMPLES
(`make fuzz`) they are random.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SHARE = float(os.environ.get("EXAMPLES_SHARE", "0.2"))
_IS_REPEATABLE = _SHARE < 1 and "FUZZ_EXAMPLES" not in os.environ
_FEWEST = 5


def examples(number: int) -> int:
    """Return EXAMPLES_SHARE times `number`, but at least five."""
    return max(_FEWEST, round(number * _SHARE))


def load_profile() -> None:
    """Load the settings of all property tests, which do not depend on the machine's speed."""
    settings.register_profile(
        "clkeepalived",
        max_examples=examples(100),
        derandomize=_IS_REPEATABLE,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("clkeepalived")
