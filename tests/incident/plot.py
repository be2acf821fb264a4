"""The results of a replay for people: a picture of tokens over time, and a table. Plain text, nothing to install."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

WIDTH, PANEL, GAP = 840, 190, 62
"""Of the picture, of one panel's axes, and between two panels; in pixels, as everything here."""
LEFT, RIGHT, TOP = 58, 262, 40
LABEL = 15
"""The least distance between two labels."""

STYLE = """
text{font:12px system-ui,sans-serif;fill:#3d444d}.title{font-weight:600;fill:#1f2328}.tick{fill:#59636e}
.axis{stroke:#d1d9e0}.line{fill:none;stroke-width:2}.over{stroke-dasharray:1 4}
.theirs{stroke:#cf222e;fill:#cf222e}.theirs2{stroke:#bc4c00;fill:#bc4c00}
.ours{stroke:#0969da;fill:#0969da}.ours2{stroke:#1a7f37;fill:#1a7f37}.ours3{stroke:#8250df;fill:#8250df}
.line{fill:none}text.theirs,text.theirs2,text.ours,text.ours2,text.ours3{stroke:none}
@media(prefers-color-scheme:dark){text{fill:#b7bdc8}.title{fill:#f0f6fc}.tick{fill:#9198a1}.axis{stroke:#3d444d}
.theirs{stroke:#ff7b72;fill:#ff7b72}.theirs2{stroke:#f0883e;fill:#f0883e}
.ours{stroke:#58a6ff;fill:#58a6ff}.ours2{stroke:#3fb950;fill:#3fb950}.ours3{stroke:#bc8cff;fill:#bc8cff}.line{fill:none}}
"""

PANELS = (
    (
        "Tokens billed. The incident: one task loops over all videos, time-out 90 s, no maximum of attempts",
        (
            ("Django-Q2, the incident", "retry 60 s, the default", "theirs"),
            ("Django-Q2, the incident with retry 120 s", "retry 120 s", "theirs2"),
            ("Titlecard", "Titlecard", "ours"),
        ),
    ),
    (
        "Tokens billed. Repaired: one task per video, at most 3 attempts, retry 120 s",
        (
            ("Django-Q2 repaired, workers killed", "Django-Q2, workers killed", "theirs"),
            ("Django-Q2 repaired, 35 s a call", "Django-Q2, 35 s a call", "theirs2"),
            ("Titlecard, workers killed", "Titlecard, workers killed", "ours2"),
            ("Titlecard, 35 s a call", "Titlecard, 35 s, deadline 30 s", "ours3"),
            ("Titlecard, 35 s a call, deadline 60 s", "Titlecard, 35 s, deadline 60 s", "ours"),
        ),
    ),
)
"""A title, and its lines: the situation's name, its label, its colour."""


@dataclass(frozen=True)
class _Line:
    label: str
    tone: str
    points: Sequence[tuple[float, int]]


def svg(results: Mapping[str, Any]) -> str:
    """The picture; it is readable on light and on dark ground.

    Args:
        results: as results.json holds them.

    Raises:
        KeyError: a situation that belongs into it is missing.
    """
    curves = {one["name"]: one["curve"] for one in results["situations"]}
    height = TOP + len(PANELS) * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Tokens billed over time, {results['videos']} videos</title><style>{STYLE.strip()}</style>",
    ]
    for number, (title, members) in enumerate(PANELS):
        lines = [_Line(label, tone, [(x, y) for x, y in curves[name]]) for name, label, tone in members]
        parts += _panel(title, lines, TOP + number * (PANEL + GAP), float(results["hours"]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def table(results: Mapping[str, Any]) -> str:
    """The figures, in Markdown."""
    rows = [
        "| | requests | tokens billed | charged | limit | paid more than once | most for one video | over after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in results["situations"]:
        charged, limit = (f"{one[key]['tokens']:,}" if key in one else "" for key in ("charged", "limit"))
        over = "not" if one.get("queued") else f"{one['seconds'] / 3600:.2f} h"
        rows.append(
            f"| {one['name']} | {one['requests']:,} | {one['tokens']:,} | {charged} | {limit} "
            f"| {one['again']} of {results['videos']} | {one['most']} | {over} |"
        )
    return "\n".join(rows) + "\n"


def _panel(title: str, lines: Sequence[_Line], top: int, hours: float) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, top + PANEL
    last = max([hours, *(line.points[-1][0] for line in lines if line.points)])
    most = max([1, *(line.points[-1][1] for line in lines if line.points)])
    step = _step(most)
    highest = -(-most // step) * step

    def at(point: tuple[float, int]) -> tuple[float, float]:
        return LEFT + (right - LEFT) * point[0] / last, bottom - PANEL * point[1] / highest

    yield f'<text class="title" x="{LEFT}" y="{top - 14}">{escape(title)}</text>'
    for tokens in range(0, highest + 1, step):
        y = round(at((0, tokens))[1], 1)
        yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>'
        yield f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{y + 4}">{_short(tokens)}</text>'
    for half in range(int(last * 2) + 1):
        x = round(at((half / 2, 0))[0], 1)
        yield f'<text class="tick" text-anchor="middle" x="{x}" y="{bottom + 18}">{half / 2:g} h</text>'
    for line in lines:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, line.points))
        yield f'<polyline class="line {line.tone}" points="{places}"/>'
        if line.points:
            x, y = at(line.points[-1])
            yield f'<circle class="mark {line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
            yield f'<line class="over {line.tone}" x1="{x:.1f}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
    ends = [(at(line.points[-1])[1], line) for line in lines if line.points]
    for y, (_, line) in zip(_apart(y for y, _ in sorted(ends, key=_height)), sorted(ends, key=_height), strict=True):
        label = f"{line.label}: {line.points[-1][1]:,}"
        yield f'<text class="{line.tone}" x="{right + 8}" y="{y + 4:.1f}">{escape(label)}</text>'


def _height(end: tuple[float, _Line]) -> float:
    return end[0]


def _apart(heights: Iterable[float]) -> list[float]:
    """Heights that rise by a label's at least, the last of them where it was: labels move up, not off the picture."""
    places = list(heights)
    for below, above in pairwise(range(len(places) - 1, -1, -1)):
        places[above] = min(places[above], places[below] - LABEL)
    return places


def _step(most: int) -> int:
    """The distance of ticks: 1, 2 or 5 and zeros, so that there are five at most."""
    unit = 1
    while True:
        for step in (unit, 2 * unit, 5 * unit):
            if most <= 5 * step:
                return step
        unit *= 10


def _short(tokens: int) -> str:
    if tokens >= 1_000_000:
        return f"{tokens / 1_000_000:g} M"
    return f"{tokens / 1000:g} k" if tokens else "0"
