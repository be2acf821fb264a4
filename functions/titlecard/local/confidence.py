"""How far an answer is to be trusted: what can be known of it, for a model that was shown right and wrong answers."""
# ruff: noqa: PLR2004  # the numbers are borders of buckets: the model learns what each bucket means

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from titlecard.local.description import PERSON
from titlecard.local.titles import DROP, NAME, TITLE, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.local.crf import Decoded
    from titlecard.local.description import DescriptionView
    from titlecard.local.titles import TitleView
    from titlecard.survey import Survey

RIGHT, WRONG = "R", "W"

_SEVERAL = frozenset(["panel", "lightning", "talks", "announcements", "opening", "closing", "welcome", "session"])
"""Words of titles whose presenters are several, or none that is named."""


def evidence(
    *,
    source: str,
    names: Sequence[str],
    labels: Sequence[str],
    survey: Survey,
    title: tuple[TitleView, Decoded],
    description: tuple[DescriptionView, Decoded] | None,
) -> list[str]:
    """What speaks for and against an answer, each with the answer's source."""
    view, decoded = title
    found = ["b", f"rows={step(survey.rows, 2, 5, 13)}", f"names={min(len(names), 4)}"]
    found += _of_the_title(view, decoded, labels)
    found += _of_the_batch(view, labels, survey)
    if description is not None:
        found += _of_the_description(*description, names)
        if survey.described > 1:
            spot = max((total / survey.described for key, (_, total) in survey.spots.items()), default=0.0)
            found.append(f"spot={step(spot, 0.2, 0.4, 0.6)}|{PERSON in description[1].labels}")
    else:
        found.append("undescribed")
    return found + [f"{source}|{each}" for each in found]


def _probability(name: str, value: float) -> list[str]:
    return [
        f"{name}{step(value, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995)}",
        *(f"{name}>{b}" for b in (0.5, 0.8, 0.95) if value > b),
    ]


def _of_the_title(view: TitleView, decoded: Decoded, labels: Sequence[str]) -> list[str]:
    """How sure the labelling is, and what it drops or leaves that looks odd."""
    found = _probability("p", decoded.probability)
    found += _probability("m", min((max(row) for row in decoded.marginals), default=1.0))
    named = [view.chances[n] for n, label in enumerate(labels) if label == NAME]
    dropped = [n for n, label in enumerate(labels) if label == DROP]
    kept = [n for n, label in enumerate(labels) if label == TITLE]
    if named:
        found.append(f"worst={step(min(named), 0.1, 0.4, 0.7, 0.9)}")
        found.append(f"given={all(view.seen[n].given for n, label in enumerate(labels) if label == NAME)}")
    if dropped:
        found.append(f"lost={step(max(view.chances[n] for n in dropped), 0.1, 0.4, 0.7)}")
        found.append(f"rare={step(min(view.shares[n] for n in dropped), 0.0, 0.05, 0.3)}|{min(len(dropped), 3)}")
    if kept:
        found.append(f"namelike={step(max(view.chances[n] for n in kept), 0.1, 0.4, 0.7)}|{min(len(kept), 4)}")
        found.append(f"gaps={kept[-1] - kept[0] + 1 != len(kept)}")
        found.append(f"shared={step(max(view.shares[n] for n in kept), 0.05, 0.3)}")
        found.append(f"short={step(sum(len(view.words[n]) for n in kept), 2, 4)}")
    found.append(f"parts={min(len(labels), 7)}")
    found.append(f"changed={list(labels) != decoded.labels}")
    found.append(f"long={step(len(view.title), 60, 90, 100, 101)}")
    found += [f"says={word}" for word in sorted(_SEVERAL & set(chain.from_iterable(view.words)))]
    return found


def _of_the_batch(view: TitleView, labels: Sequence[str], survey: Survey) -> list[str]:
    """Whether the row agrees with the template of its batch, and whether the batch has one."""
    if survey.rows < 2:
        return ["alone"]
    best = step(view.best_value, 0.2, 0.4, 0.6, 0.8)
    agrees = view.best_slot >= 0 and labels[view.best_slot] == NAME
    named = max((total / survey.rows for key, (_, total) in survey.slots.items() if "|" in key), default=0.0)
    return [
        f"best={best}|{agrees}",
        f"template={step(named, 0.1, 0.25, 0.5, 0.7)}|{NAME in labels}",
        f"template={step(named, 0.1, 0.25, 0.5, 0.7)}|{NAME in labels}|{step(survey.rows, 5, 13)}",
    ]


def _of_the_description(view: DescriptionView, decoded: Decoded, names: Sequence[str]) -> list[str]:
    """How sure the labelling of the description is, and whether it names others."""
    persons = [n for n, label in enumerate(decoded.labels) if label == PERSON]
    others = [1 - max(row) for label, row in zip(decoded.labels, decoded.marginals, strict=True) if label != PERSON]
    found = _probability("dp", decoded.probability)
    found += _probability("dm", min((max(row) for row in decoded.marginals), default=1.0))
    found.append(f"near={step(max(others, default=0.0), 0.05, 0.2, 0.35)}")
    found.append(f"strong={min(sum(chance > 0.6 for chance in view.chances), 5)}|{min(len(names), 3)}")
    found.append(f"first={min(view.found[persons[0]].line, 4) if persons else '-'}")
    found.append(f"lines={len({view.found[n].line for n in persons})}")
    found.append(f"persons={min(len({view.keys[n] for n in persons}), 3)}|{min(len(names), 3)}")
    return found
