"""The report's plot of spend, as SVG images inside the page: one version for light screens, one for dark screens."""

from __future__ import annotations

import base64
import sys
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from titlecard_console.report.content import Charge

_LIGHT = {"ink": "#1c2128", "back": "#ffffff", "guide": "#c8ced6", "line": "#0a5bc4", "limit": "#a3262c"}
_DARK = {"ink": "#e6edf3", "back": "#0f141a", "guide": "#3a444f", "line": "#6cb0ff", "limit": "#ff9b9b"}

_USD = 1_000_000
"""One dollar, in micro-dollars."""

POINTS_MAX = 500
"""The most charges that a plot shows; if there are more, it shows an even sample and the last charge."""


@dataclass(frozen=True)
class Image:
    """A plot as two `data:` addresses."""

    light: str
    dark: str


def spend_chart(charges: Sequence[Charge], limit_micro_usd: int) -> Image | None:
    """Draw the running total of charges against the limit; return None if nothing was charged."""
    if not charges:
        return None
    sums = accumulate(charge.micro_usd for charge in charges)
    points = [(charges[0].at, 0.0)] + [(charge.at, total / _USD) for charge, total in zip(charges, sums, strict=True)]
    thinned = points[:: len(points) // POINTS_MAX + 1] + points[-1:]
    steps = [thinned[0]]
    for before, after in pairwise(thinned):
        steps += [(after[0], before[1]), after]
    limit = [(moment, limit_micro_usd / _USD) for moment in (points[0][0], points[-1][0])]
    return Image(_drawn(_LIGHT, steps, limit), _drawn(_DARK, steps, limit))


def _drawn(
    colours: Mapping[str, str], steps: Sequence[tuple[datetime, float]], limit: Sequence[tuple[datetime, float]]
) -> str:
    """Draw the plot in these colours; return it as a `data:` address."""
    import pygal  # type: ignore[import-untyped]  # noqa: PLC0415 -- only this command draws
    from pygal.style import Style  # type: ignore[import-untyped]  # noqa: PLC0415 -- as above

    # pygal leaves a plug-in finder behind, which every later import would call through an API that Python 3.12 removed.
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("pygal")]
    chart = pygal.DateTimeLine(
        style=Style(
            background=colours["back"],
            plot_background=colours["back"],
            foreground=colours["ink"],
            foreground_strong=colours["ink"],
            foreground_subtle=colours["ink"],
            guide_stroke_color=colours["guide"],
            guide_stroke_dasharray="2, 4",
            stroke_width=2.5,
            colors=(colours["line"], colours["limit"]),
            font_family="system-ui, sans-serif",
        ),
        js=(),
        width=900,
        height=320,
        legend_at_bottom=True,
        show_dots=False,
        range=(0, max(limit[0][1], steps[-1][1])),
        x_value_formatter=lambda moment: f"{moment:%d %b %H:%M}",
        value_formatter=lambda dollars: f"${dollars:,.4g}",
        x_label_rotation=20,
    )
    chart.add("charged", steps)
    chart.add("limit", limit, stroke_style={"dasharray": "6, 4"})
    return f"data:image/svg+xml;base64,{base64.b64encode(chart.render()).decode()}"
