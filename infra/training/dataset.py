"""The data set that trains and measures the local tier: videos, and human editors' answers for them."""

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

    `community` names the data set that it comes from, `series` the conference without its year. A parser that has seen
    one year of a conference has in effect seen the next, so the rows of a series are all on one side of a split. `kind`
    is one of the data set's three kinds.
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
    """Return the rows of data sets (JSON Lines with `id`, `event`, `kind`, `title`, `description`, `expected`).

    Each file is a community, named after the file. If a row has no `series`, it is the event without its year.
    """
    found = []
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            found += [_row(json.loads(line), path.stem) for line in lines if line.strip()]
    return found


def split(rows: Iterable[Row], folds: int, seed: int) -> dict[str, int]:
    """Assign each series to a fold, with about the same number of rows in each fold."""
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
    """Group the rows of a data set into batches: one event is one upload."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[f"{row.community}/{row.event}"].append(row)
    return dict(sorted(found.items()))


def some_of_its_batch(row: Row, batch: Sequence[Row], size: int, chance: random.Random) -> list[Row]:
    """Return a row with others of its batch, `size` in total (or as many as there are)."""
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
