"""The plot: `python plot.py FILE.svg`, with the figures as JSON on standard input."""

# It runs in a separate environment, which has matplotlib.
# mypy: ignore-errors

from __future__ import annotations

import json
import statistics
import sys

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 9, "font.family": "sans-serif"})

import matplotlib.pyplot as plt  # noqa: E402 -- the backend is chosen first

PARTS = (
    ("right", "exact", "#1a7f37"),
    ("wrong", "finished, not exact", "#9be9a8"),
    ("failed", "failed, and said so", "#d4a72c"),
    ("waiting", "still waiting", "#8c959f"),
    ("lost", "lost", "#cf222e"),
)


def main() -> None:
    """Draw two rows of panels: the outcomes of the rows, and the cost of a finished talk."""
    given = json.load(sys.stdin)
    workloads, names = given["workloads"], given["contenders"][::-1]
    figure, panels = plt.subplots(2, len(workloads), figsize=(13, 6.2), sharex="row", sharey=True, layout="constrained")
    for column, (workload, title) in enumerate(workloads):
        outcomes, costs = panels[0][column], panels[1][column]
        for _, label, colour in PARTS if column == 0 else ():
            outcomes.barh(0, 0, color=colour, label=label)
        for place, name in enumerate(names):
            runs = [run for run in given["runs"] if run["contender"] == name and run["workload"] == workload]
            if not runs:
                continue
            for run in runs:
                run["wrong"] = run["finished"] - run["right"]
            left = 0.0
            for part, _, colour in PARTS:
                width = statistics.fmean(run[part] for run in runs)
                outcomes.barh(place, width, left=left, color=colour)
                left += width
            tokens = [run["tokens"] for run in runs]
            middle = statistics.median(tokens)
            spread = [[middle - min(tokens)], [max(tokens) - middle]]
            costs.barh(place, middle, xerr=spread, color="#0969da", error_kw={"ecolor": "#59636e", "lw": 1})
        outcomes.set_title(title, fontsize=10)
        outcomes.set_xlim(0, given["rows"])
        for panel in (outcomes, costs):
            panel.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_yticks(range(len(names)), names)
    panels[0][0].set_xlabel("rows (mean of the rounds)")
    panels[1][0].set_xlabel("tokens billed for a finished talk (median, spread)")
    figure.legend(loc="outside lower center", ncols=len(PARTS), frameon=False)
    figure.savefig(sys.argv[1], metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
