"""The data set that the local tier is trained on and measured with: videos, and what human editors made of them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titlecard.domain.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_YEAR = re.compile(r"-?(?:19|20)\d\d$")


@dataclass(frozen=True)
class Row:
    """One video of a data set.

    `community` is the data set that it comes from, `series` the conference without its year: a parser that has seen
    one year of a conference has seen the next, so rows of one series are never on both sides of a split. `kind` is one
    of the data set's three kinds.
    """

    id: str
    event: str
    kind: str
    title: str
    description: str
    want_title: str
    want_names: tuple[str, ...]
    series: str
    synthetic: bool = False
    community: str = ""


def load(*paths: Path) -> list[Row]:
    """The rows of data sets (JSON Lines with `id`, `event`, `kind`, `title`, `description`, `expected`).

    Each file is a community of its own, named after the file. `series` is the event without its year where a row has
    none.
    """
    found = []
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            found += [_row(json.loads(line), path.stem) for line in lines if line.strip()]
    return found


def split(rows: Iterable[Row], folds: int, seed: int) -> dict[str, int]:
    """Series → fold, in folds of about the same number of rows."""
    sizes = Counter(row.series for row in rows)
    series = sorted(sizes)
    random.Random(seed).shuffle(series)  # noqa: S311  # a split, not a secret
    series.sort(key=lambda name: -sizes[name])
    loads, found = [0] * folds, {}
    for name in series:
        fold = loads.index(min(loads))
        found[name] = fold
        loads[fold] += sizes[name]
    return found


def by_event(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The batches of a data set: one event is one upload."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[f"{row.community}/{row.event}"].append(row)
    return dict(sorted(found.items()))


def some_of_its_batch(row: Row, batch: Sequence[Row], size: int, chance: random.Random) -> list[Row]:
    """A row with others of its batch, `size` in all (or as many as there are)."""
    others = [other for other in batch if other is not row]
    return [row, *chance.sample(others, min(size - 1, len(others)))]


def _row(data: dict[str, object], community: str) -> Row:
    expected = data["expected"]
    assert isinstance(expected, dict)  # noqa: S101  # the format of the data set
    event = str(data["event"])
    return Row(
        id=str(data["id"]),
        event=event,
        kind=str(data["kind"]),
        title=str(data["title"]),
        description=str(data["description"] or ""),
        want_title=one_line(str(expected["title"])),
        want_names=tuple(map(str, expected["presenters"])),
        series=str(data.get("series") or _YEAR.sub("", event)),
        community=community,
    )
