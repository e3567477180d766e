"""Strategies for almost valid input: valid data that is then damaged."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))

fuzzed = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))

SECRET = "K4nn-N1emand-w1ssen"

# Fragments with a meaning to some parser, or known from attacks.
_FRAGMENTS = (
    b"\x00", b"\x1b[2J", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\r\n", b"\n\n", b"\t",
    b"'", b'"', b"\\", b"{", b"}", b"[", b"]", b"- ", b": ", b"---\n", b"!!python/object ", b"&a ",
    b"*a", b"<<: ", b"~", b"|", b"%", b"../", b"NaN", b"1e999", b"-0", b"9" * 40, b"0x10",
)  # fmt: skip

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["", "a:b", "update", "download", "lab", "5m", "100", "-1", "../x"])
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
"""Any value that JSON or YAML can express."""


@st.composite
def damaged(draw: st.DrawFn, wholes: st.SearchStrategy[bytes]) -> bytes:
    """Return an example with a few pieces removed, doubled, or inserted."""
    content = draw(wholes)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.integers(0, 12)))
        middle = draw(
            st.sampled_from(_FRAGMENTS) | st.binary(max_size=4) | st.just(2 * content[at:to])
        )
        content = content[:at] + middle + content[to:]
    return content


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return objects with some of these fields, each valid or arbitrary."""
    return st.fixed_dictionaries(
        {}, optional={name: good | values for name, good in fields.items()}
    ).flatmap(
        lambda made: st.dictionaries(st.text(max_size=6), values, max_size=1).map(
            lambda more: {**more, **made}
        )
    )
