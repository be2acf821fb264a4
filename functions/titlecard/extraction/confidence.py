"""The confidence in an answer: the evidence for a model that has learned from right and wrong answers.

The model is learned and calibrated in training (`infra/training/fit.py`); `extraction.trust` applies it.
"""
# ruff: noqa: PLR2004  # the numbers are bucket borders: the model learns what each bucket means

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

from titlecard.extraction.description import PERSON
from titlecard.extraction.titles import DROP, NAME, TITLE, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titlecard.extraction.crf import Decoded
    from titlecard.extraction.description import DescriptionView
    from titlecard.extraction.survey import Survey
    from titlecard.extraction.titles import TitleView

RIGHT, WRONG = "R", "W"

_LABEL = re.compile(r"(?:\w+ )?(?:keynote|lightning talks?|panel|talk|tutorial|workshop)(?=\s?:)", re.IGNORECASE)
"""Labels before a title, which editors sometimes keep."""

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")

_SEVERAL = frozenset(["panel", "lightning", "talks", "announcements", "opening", "closing", "welcome", "session"])
"""Words in titles of sessions with several presenters, or with none that is named."""


def evidence(
    *,
    source: str,
    names: Sequence[str],
    labels: Sequence[str],
    survey: Survey,
    title: tuple[TitleView, Decoded],
    description: tuple[DescriptionView, Decoded, Sequence[int]] | None,
) -> list[str]:
    """Return the evidence for and against an answer, each with the answer's source."""
    view, decoded = title
    found = ["b", f"rows={step(survey.rows, 2, 5, 13)}", f"names={min(len(names), 4)}"]
    found += _of_the_title(view, decoded, labels)
    found += _of_the_batch(view, labels, survey)
    if description is not None:
        found += _of_the_description(*description, names)
        found += _of_both(view, labels, description[0], description[2])
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
    """Return features: the certainty of the labels, and unusual signs in the pieces that are dropped or kept."""
    found = _probability("p", decoded.probability)
    found += _probability("m", min((max(row) for row in decoded.marginals), default=1.0))
    named = [view.chances[n] for n, label in enumerate(labels) if label == NAME]
    dropped = [n for n, label in enumerate(labels) if label == DROP]
    kept = [n for n, label in enumerate(labels) if label == TITLE]
    if named:
        found.append(f"worst={step(min(named), 0.1, 0.4, 0.7, 0.9)}")
        found.append(f"given={all(view.seen[n].given for n, label in enumerate(labels) if label == NAME)}")
    # A dropped piece is evidence only if it looks odd: in a batch of bare titles, there is nothing to drop.
    lost = step(max((view.chances[n] for n in dropped), default=0.0), 0.1, 0.4, 0.7)
    rare = step(min((view.shares[n] for n in dropped), default=1.0), 0.0, 0.05, 0.3)
    found += [f"lost={lost}"] if lost else []
    found += [f"rare={rare}|{min(len(dropped), 3)}"] if rare < 3 else []
    if kept:
        found.append(f"namelike={step(max(view.chances[n] for n in kept), 0.1, 0.4, 0.7)}|{min(len(kept), 4)}")
        found.append(f"gaps={kept[-1] - kept[0] + 1 != len(kept)}")
        found.append(f"shared={step(max(view.shares[n] for n in kept), 0.05, 0.3)}")
        found.append(f"short={step(sum(len(view.words[n]) for n in kept), 2, 4)}")
        found.append(f"cut={view.parts[kept[-1]].right}|{NAME in labels}")
        found.append(f"begins={view.parts[kept[0]].left}|{NAME in labels}")
        inside = {view.parts[n].left.partition("+")[0] for n in kept[1:] if labels[n - 1] == TITLE}
        found += [f"inside={kind}" for kind in sorted(inside)]
        dated = any(_YEAR.search(view.parts[n].text) for n in {kept[0], kept[-1]})
        found.append(f"dated={dated}|{len(kept) > 1}|{DROP in labels}")
        label = _LABEL.match(view.title[view.parts[kept[0]].start :])
        if label:
            found.append(f"label={label[0].lower()}")
    if named:
        found.append(f"academic={any('T' in view.seen[n].shape for n, label in enumerate(labels) if label == NAME)}")
        found.append(f"single={any(len(view.words[n]) == 1 for n, label in enumerate(labels) if label == NAME)}")
        found.append(f"soft={any(view.is_cut_off(n) for n, label in enumerate(labels) if label == NAME)}")
        found.append(f"partial={_is_partial(view, labels)}")
    found.append(f"parts={min(len(labels), 7)}")
    found.append(f"handle={'@' in view.title}")
    found.append(f"changed={list(labels) != decoded.labels}")
    found.append(f"long={step(len(view.title), 60, 90, 100, 101)}")
    found += [f"says={word}" for word in sorted(_SEVERAL & set(chain.from_iterable(view.words)))]
    return found


def _is_partial(view: TitleView, labels: Sequence[str]) -> bool:
    """Return whether a list contains names and other things."""
    return any(
        (labels[n] == NAME) != (labels[n - 1] == NAME)
        for n in range(1, len(labels))
        if view.parts[n].left in ("comma", "and")
    )


def _of_the_batch(view: TitleView, labels: Sequence[str], survey: Survey) -> list[str]:
    """Return whether the row agrees with the template of its batch, and whether the batch has one."""
    if survey.rows < 2:
        return ["alone"]
    roles = [view.in_its_role(n, label) for n, label in enumerate(labels)]
    known = [role for role in roles if role >= 0]
    named = [role for role, label in zip(roles, labels, strict=True) if label == NAME and role >= 0]
    found = [f"role={step(min(known, default=-1.0), 0.0, 0.1, 0.3, 0.6, 0.9)}|{min(len(roles) - len(known), 2)}"]
    if NAME in labels:
        found.append(f"role of names={step(min(named, default=-1.0), 0.0, 0.1, 0.3, 0.6, 0.9)}")
    best = step(view.best_value, 0.2, 0.4, 0.6, 0.8)
    agrees = view.best_slot >= 0 and labels[view.best_slot] == NAME
    template = max((total / survey.rows for key, (_, total) in survey.slots.items() if "|" in key), default=0.0)
    most_names = max((taken for _, taken, _ in survey.roles.values()), default=0) / survey.rows
    named_rows = step(most_names, 0.03, 0.2, 0.5, 0.8)
    return [
        *found,
        f"named rows={named_rows}|{NAME in labels}",
        f"named rows={named_rows}|{NAME in labels}|{survey.described > 1}|{step(survey.rows, 5, 13)}",
        f"best={best}|{agrees}",
        f"template={step(template, 0.1, 0.25, 0.5, 0.7)}|{NAME in labels}",
        f"template={step(template, 0.1, 0.25, 0.5, 0.7)}|{NAME in labels}|{step(survey.rows, 5, 13)}",
    ]


def _of_both(title: TitleView, labels: Sequence[str], view: DescriptionView, persons: Sequence[int]) -> list[str]:
    """Return whether title and description name the same people."""
    named = {title.texts[n] for n, label in enumerate(labels) if label == NAME}
    told = {view.keys[n] for n in persons}
    agree = "same" if told == named else "more" if told > named else "some" if told & named else "no"
    agree = agree if named else "-"
    lines = {view.found[n].line for n in persons if view.keys[n] in named}
    beside = any(view.found[n].line in lines for n in persons if view.keys[n] not in named)
    return [f"agree={agree}|{bool(told)}", f"agree={agree}|{beside}|{min(len(named), 3)}"]


def _of_the_description(
    view: DescriptionView, decoded: Decoded, kept: Sequence[int], names: Sequence[str]
) -> list[str]:
    """Return how sure the description's labelling is, and whether it names other people."""
    persons = [n for n, label in enumerate(decoded.labels) if label == PERSON]
    others = [1 - max(row) for label, row in zip(decoded.labels, decoded.marginals, strict=True) if label != PERSON]
    found = _probability("dp", decoded.probability)
    found += _probability("dm", min((max(row) for row in decoded.marginals), default=1.0))
    found.append(f"near={step(max(others, default=0.0), 0.05, 0.2, 0.35)}")
    found.append(f"strong={min(sum(chance > 0.6 for chance in view.chances), 5)}|{min(len(names), 3)}")
    found.append(f"first={min(view.found[persons[0]].line, 4) if persons else '-'}")
    found.append(f"dropped={len(persons) != len(kept)}")
    if kept:
        best: dict[str, float] = {}
        for n in kept:
            best[view.keys[n]] = max(best.get(view.keys[n], 0.0), *decoded.marginals[n])
        found.append(f"least={step(min(best.values()), 0.6, 0.8, 0.9, 0.95, 0.98, 0.995)}")
        found.append(f"most={step(max(best.values()), 0.6, 0.8, 0.9, 0.95, 0.98, 0.995)}")
        found.append(f"namely={step(min(view.chances[n] for n in kept), 0.1, 0.4, 0.7, 0.9)}")
        found.append(f"academic={any('T' in view.seen[n].shape for n in kept)}")
        found += view.cues(kept[0])
    found.append(f"about={step(sum(map(len, view.about)), 40, 100, 300, 1000, 2000)}")
    found.append(f"lines={len({view.found[n].line for n in persons})}")
    found.append(f"persons={min(len({view.keys[n] for n in persons}), 3)}|{min(len(names), 3)}")
    return found
