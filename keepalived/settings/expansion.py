"""How large a YAML document is once its aliases are followed.

A few lines of aliases to aliases stand for more values than fit into memory, and a file of a
megabyte for a hundred million of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import yaml

_ALLOWANCE = 100_000
"""Values that aliases may stand for, beside as many as there are without them."""


class TooLargeError(Exception):
    """The aliases stand for too much; `line` is that of the one at which this became clear."""

    def __init__(self, line: int | None) -> None:
        super().__init__()
        self.line = line


def checked(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """Yield the events of a document. Raises TooLargeError where aliases stand for too much."""
    written = expanded = 0
    sizes: dict[str, int] = {}
    open_anchors: list[tuple[str | None, int]] = []
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            # An alias inside of what it names has no size yet, and is none of the daemon's values.
            expanded += sizes.get(str(event.anchor), _ALLOWANCE)
            if expanded > 2 * written + _ALLOWANCE:
                raise TooLargeError(event.start_mark.line + 1 if event.start_mark else None)
        elif isinstance(event, yaml.NodeEvent):
            written, expanded = written + 1, expanded + 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_anchors.append((event.anchor, expanded - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_anchors.pop()
            if anchor is not None:
                sizes[anchor] = expanded - before
        yield event
