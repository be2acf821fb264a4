"""Draws tokens over time: `python plot.py RESULTS.json PICTURE.svg`, in an environment that has matplotlib."""

# mypy: ignore-errors

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "incident", "font.size": 9, "font.family": "sans-serif"})

import matplotlib.pyplot as plt  # noqa: E402 -- the backend is chosen first

RED, ORANGE, BLUE, GREEN, PURPLE = "#cf222e", "#bc4c00", "#0969da", "#1a7f37", "#8250df"

PANELS = (
    (
        "The incident: one task loops over all videos, time-out 90 s, no maximum of attempts",
        (
            ("Django-Q2, the incident", "Django-Q2, retry 60 s, the default", RED),
            ("Django-Q2, the incident with retry 120 s", "Django-Q2, retry 120 s", ORANGE),
            ("Titlecard", "Titlecard", BLUE),
        ),
    ),
    (
        "Repaired: one task per video, at most 3 attempts, retry 120 s",
        (
            ("Django-Q2 repaired, workers killed", "Django-Q2, workers killed", RED),
            ("Django-Q2 repaired, 35 s a call", "Django-Q2, 35 s a call", ORANGE),
            ("Titlecard, workers killed", "Titlecard, workers killed", GREEN),
            ("Titlecard, 35 s a call", "Titlecard, 35 s a call, deadline 30 s", PURPLE),
            ("Titlecard, 35 s a call, deadline 60 s", "Titlecard, 35 s a call, deadline 60 s", BLUE),
        ),
    ),
)
"""The panels: a title and its lines, each a situation's name, label and colour."""


def main() -> None:
    """Draw the panels one above the other; the picture's description is a digest of its results."""
    text = Path(sys.argv[1]).read_bytes()
    results = json.loads(text)
    curves = {one["name"]: one["curve"] for one in results["situations"]}
    figure, panels = plt.subplots(len(PANELS), figsize=(9, 6), sharex=True, layout="constrained")
    for panel, (title, lines) in zip(panels, PANELS, strict=True):
        for name, label, colour in lines:
            hours, tokens = zip(*curves[name], strict=True)
            panel.plot(hours, tokens, color=colour, label=f"{label}: {tokens[-1]:,}", lw=1.8)
            panel.plot(hours[-1], tokens[-1], "o", color=colour, ms=4)
        panel.set_title(title, fontsize=10, loc="left")
        panel.set_ylabel("tokens billed")
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#d1d9e0", lw=0.6)
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    panels[-1].set_xlabel("hours")
    digest = hashlib.sha256(text).hexdigest()
    figure.savefig(sys.argv[2], metadata={"Date": None, "Creator": None, "Description": digest})


if __name__ == "__main__":
    main()
