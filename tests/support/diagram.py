"""Draw the subpackages and their imports: `make diagram` writes docs/rooms.svg.

Every subpackage ("room") is above all that it imports. An arrow is omitted if a longer path leads
to the same room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import combinations, pairwise
from pathlib import Path

import grimp

PICTURE = Path(__file__).parents[2] / "docs/rooms.svg"

_WIDTH, _HEIGHT = 104.0, 34.0
_GAP = 26.0
_STEP = 84.0
"""From one layer to the next."""

_MARGIN = 16.0
_SWEEPS = 40
_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" \
width="{width:.0f}" height="{height:.0f}">
<title>The rooms of keepalived/, each above all that it imports</title>
<style>
rect {{ fill: #eef3fa; stroke: #4a6785; }}
text {{ font: 14px sans-serif; text-anchor: middle; fill: #1b2733; }}
.arrow {{ fill: none; stroke: #6b7c8d; stroke-width: 1.3; marker-end: url(#head); }}
</style>
<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto">
<path d="M 0 0 L 8 4 L 0 8 z" fill="#6b7c8d"/>
</marker>
<rect width="100%" height="100%" style="fill: #ffffff; stroke: none"/>
"""

Rooms = Mapping[str, set[str]]
"""Each room with those that it imports."""


def imports(package: str = "keepalived") -> Rooms:
    """Return the rooms of a package, each with all rooms that its modules import."""
    graph = grimp.build_graph(package, cache_dir=None)
    names = sorted(graph.find_children(package))
    for name in names:
        graph.squash_module(name)
    return {
        name.rpartition(".")[2]: {
            each.rpartition(".")[2]
            for each in graph.find_modules_directly_imported_by(name)
            if each in names and each != name
        }
        for name in names
    }


def reduced(rooms: Rooms) -> Rooms:
    """Omit imports that another import implies. Raises CycleError."""
    beyond: dict[str, set[str]] = {}
    for name in TopologicalSorter(rooms).static_order():
        beyond[name] = rooms[name].union(*(beyond[each] for each in rooms[name]))
    return {
        name: {each for each in below if not any(each in beyond[other] for other in below)}
        for name, below in rooms.items()
    }


@dataclass(eq=False)
class _Place:
    """A room in its layer, or a bend of an arrow that passes the layer; `x` is its middle."""

    name: str = ""
    x: float = 0.0
    above: list[_Place] = field(default_factory=list)
    below: list[_Place] = field(default_factory=list)

    @property
    def width(self) -> float:
        return _WIDTH if self.name else 0.0


Layers = list[list[_Place]]


def _layers(rooms: Rooms) -> Layers:
    """Put each room directly above all that it imports, and a bend where an arrow passes it."""
    heights: dict[str, int] = {}
    for name in TopologicalSorter(rooms).static_order():
        heights[name] = 1 + max((heights[each] for each in rooms[name]), default=-1)
    layers: Layers = [[] for _ in range(max(heights.values()) + 1)]
    places = {name: _Place(name) for name in sorted(rooms)}
    for name, place in places.items():
        layers[heights[name]].append(place)
    for name, below in sorted(rooms.items()):
        for other in sorted(below):
            way = [places[name]]
            for height in range(heights[name] - 1, heights[other], -1):
                way.append(_Place())
                layers[height].append(way[-1])
            for upper, lower in pairwise([*way, places[other]]):
                upper.below.append(lower)
                lower.above.append(upper)
    return layers[::-1]


def _crossings(layers: Layers) -> int:
    found = 0
    for layer in layers[1:]:
        lines = [(upper.x, place.x) for place in layer for upper in place.above]
        found += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(lines, 2))
    return found


def _arrange(layers: Layers) -> None:
    """Move all places below and above the places they connect to, with few crossings."""
    for layer in layers:
        _spread(layer, range(len(layer)))
    best: tuple[float, list[tuple[_Place, float]]] = (float("inf"), [])
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 else layers[::-1]:
            wished = [_middle(place, sweep) for place in layer]
            order = sorted(zip(wished, range(len(layer)), layer, strict=True), key=lambda e: e[:2])
            layer[:] = [place for _, _, place in order]
            _spread(layer, [wish for wish, _, _ in order])
        length = sum(
            abs(place.x - upper.x) for layer in layers for place in layer for upper in place.above
        )
        cost = 1000 * _crossings(layers) + length
        if cost < best[0]:
            best = cost, [(place, place.x) for layer in layers for place in layer]
    for place, x in best[1]:
        place.x = x
    for layer in layers:
        layer.sort(key=lambda place: place.x)


def _middle(place: _Place, sweep: int) -> float:
    """Return the preferred x of a place: by its arrows on one side, in the last sweep on both."""
    if sweep < _SWEEPS // 2:
        bound = place.above if sweep % 2 else place.below
    else:
        bound = place.above + place.below
    return sum(each.x for each in bound) / len(bound) if bound else place.x


def _spread(layer: Sequence[_Place], wished: Iterable[float]) -> None:
    """Place a layer as near to the wished positions as possible, in order and without overlaps."""
    offset, before = 0.0, None
    blocks: list[list[tuple[_Place, float, float]]] = []
    for place, wish in zip(layer, wished, strict=True):
        if before is not None:
            offset += (before.width + place.width) / 2 + _GAP
        before = place
        blocks.append([(place, wish - offset, offset)])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    for block in blocks:
        for place, _, distance in block:
            place.x = _mean(block) + distance


def _mean(block: Sequence[tuple[_Place, float, float]]) -> float:
    return sum(wish for _, wish, _ in block) / len(block)


def draw(rooms: Rooms) -> str:
    """Return the picture of the rooms, as SVG."""
    layers = _layers(reduced(rooms))
    _arrange(layers)
    left = min(place.x - place.width / 2 for layer in layers for place in layer) - _MARGIN
    right = max(place.x + place.width / 2 for layer in layers for place in layer) + _MARGIN
    height = _STEP * (len(layers) - 1) + _HEIGHT + 2 * _MARGIN
    arrows, boxes = [], []
    for place in (each for layer in layers for each in layer):
        place.x -= left
    for depth, layer in enumerate(layers):
        y = _MARGIN + depth * _STEP
        for place in filter(lambda each: each.name, layer):
            corner = f'x="{place.x - _WIDTH / 2:.0f}" y="{y:.0f}"'
            boxes.append(f'<rect {corner} width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" rx="6"/>')
            boxes.append(f'<text x="{place.x:.0f}" y="{y + 22:.0f}">{place.name}</text>')
            arrows += [_arrow(place, below, y + _HEIGHT) for below in place.below]
    head = _HEAD.format(width=right - left, height=height)
    return head + "\n".join([*arrows, *boxes, "</svg>"]) + "\n"


def _arrow(place: _Place, below: _Place, y: float) -> str:
    """Return an arrow from the bottom of a room, at `y`, past all bends to the top of another."""
    x, path = place.x, f"M {place.x:.0f} {y:.0f}"
    fall = _STEP - _HEIGHT
    while True:
        path += f" C {x:.0f} {y + fall / 2:.0f} {below.x:.0f} {y + fall / 2:.0f} {below.x:.0f}"
        path += f" {y + fall:.0f}"
        if below.name:
            return f'<path class="arrow" d="{path}"/>'
        path += f" V {y + _STEP:.0f}"
        x, y, below = below.x, y + _STEP, below.below[0]


if __name__ == "__main__":
    PICTURE.write_text(draw(imports()), encoding="utf-8")
