"""Reviewing in a spreadsheet: the talks to look at as CSV, and what a person changed in it."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from titlecard.domain.text import normalise
from titlecard_console.errors import CommandError
from titlecard_console.export import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from titlecard.domain.video import Talk
    from titlecard_console.results import Flagged

COLUMNS = ("project", "id", "raw_title", "title", "presenters", "reason", "confidence", "seen")
"""`title` and `presenters` are for the person to change. `seen` is a digest of the talk as it was written here."""

BETWEEN_NAMES = ";"
"""Separates presenters in one cell."""


@dataclass(frozen=True)
class Correction:
    """A row that a person changed; `line` counts the file's lines from 1."""

    line: int
    project: str
    video: str
    before: tuple[str, tuple[str, ...]]
    title: str
    presenters: tuple[str, ...]


def digest(talk: Talk) -> str:
    """A digest of a talk's title and presenters."""
    content = json.dumps([talk.title, list(talk.presenters)], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def write(project_of: dict[str, str], flagged: Iterable[Flagged], sink: IO[str]) -> int:
    """Write talks as CSV; give their number.

    Args:
        project_of: the project of each batch.
    """
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    number = 0
    for it in flagged:
        number += 1
        writer.writerow(
            [
                project_of[it.result.batch],
                harmless(it.result.row.video),
                harmless(normalise(it.video.title) if it.video else ""),
                harmless(it.talk.title),
                harmless(f"{BETWEEN_NAMES} ".join(it.talk.presenters)),
                it.talk.review or "",
                f"{it.talk.confidence:.2f}",
                digest(it.talk),
            ]
        )
    return number


def read(source: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a sheet, with their line numbers.

    Raises:
        CommandError: a column that `write` wrote is missing.
    """
    reader = csv.DictReader(source, delimiter=",")
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise CommandError(
            f"{name} has no column {', '.join(sorted(missing))}: write the file with `titlecard review --output`, "
            "change titles and presenters, and save it as CSV with commas."
        )
    for row in reader:
        yield reader.line_num, {column: _plain(row[column] or "") for column in COLUMNS}


def changed(line: int, row: dict[str, str], talk: Talk) -> Correction | None:
    """What a person changed in a row, against the talk that stands now; None where it says the same.

    Raises:
        CommandError: the talk has changed since the sheet was written, or the row has no title.
    """
    title = " ".join(normalise(row["title"]).split())
    presenters = names(row["presenters"])
    if (title, presenters) == (talk.title, talk.presenters):
        return None
    if digest(talk) != row["seen"]:
        raise CommandError(f"line {line}: {row['id']} has changed since the file was written. It is left as it is.")
    if not title:
        raise CommandError(f"line {line}: {row['id']} has no title. It is left as it is.")
    return Correction(line, row["project"], row["id"], (talk.title, talk.presenters), title, presenters)


def names(cell: str) -> tuple[str, ...]:
    """The presenters in a cell."""
    found: Sequence[str] = [" ".join(normalise(name).split()) for name in cell.split(BETWEEN_NAMES)]
    return tuple(name for name in found if name)


def _plain(cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from taking it for a formula."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell
